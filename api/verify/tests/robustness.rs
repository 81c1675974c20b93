//! Whatever is fed to the parsers, they answer and do not panic.

use api_verify::anchor::{Commitment, TrustedBlocks, check};
use api_verify::checkpoint::{Checkpoint, TlogProof};
use api_verify::leaf::Leaf;
use api_verify::note::{SignedNote, VerifierKey};
use api_verify::policy::Policy;
use api_verify::receipt::Evidence;
use proptest::prelude::*;

const COMMITMENT: Commitment = Commitment { origin: [1; 32], size: 7, checkpoint: [2; 32] };

/// Texts that look like the formats from afar.
fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("c2sp.org/tlog-proof@v1".to_owned()),
        Just("index 1".to_owned()),
        Just("extra AA==".to_owned()),
        Just("— name AAAAAAA=".to_owned()),
        Just("log".to_owned()),
        Just("quorum none".to_owned()),
        Just("group g 1 g".to_owned()),
        Just("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned()),
        "[0-9]{1,25}",
        "\\PC{0,12}",
        "[a-z0-9+/= —]{0,40}",
    ];
    proptest::collection::vec((word, prop_oneof!["\n", "\n\n", " "]), 0..12)
        .prop_map(|parts| parts.into_iter().flat_map(|(word, end)| [word, end]).collect())
}

fn hex_text() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<u8>(), 0..200).prop_map(hex::encode)
}

/// RLP of some shape.
fn rlp() -> impl Strategy<Value = Vec<u8>> {
    let leaf = proptest::collection::vec(any::<u8>(), 0..40)
        .prop_map(|bytes| [vec![0x80 + u8::try_from(bytes.len()).unwrap_or(0)], bytes].concat());
    leaf.prop_recursive(3, 24, 17, |inner| {
        proptest::collection::vec(inner, 0..17).prop_map(|items| {
            let content = items.concat();
            match u16::try_from(content.len()).unwrap_or(0) {
                short @ 0..56 => [vec![0xc0 + (short & 0xff) as u8], content].concat(),
                long => [vec![0xf9], long.to_be_bytes().to_vec(), content].concat(),
            }
        })
    })
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let list = || proptest::collection::vec(hex_text(), 0..4);
    let nodes = proptest::collection::vec(rlp().prop_map(hex::encode), 0..4);
    prop_oneof![
        (hex_text(), list(), any::<u64>(), list()).prop_map(
            |(transaction, branch, position, headers)| Evidence::Bitcoin {
                chain: "bip122:x".to_owned(),
                transaction,
                branch,
                position,
                headers,
                height: 1,
            }
        ),
        (rlp(), nodes, any::<u64>(), any::<u64>()).prop_map(|(header, proof, index, log)| {
            Evidence::Evm {
                chain: "eip155:1".to_owned(),
                tx: String::new(),
                index,
                proof,
                header: hex::encode(header),
                contract: "00".repeat(20),
                log,
            }
        }),
        (hex_text(), "[1-9a-z]{0,90}").prop_map(|(transaction, signature)| Evidence::Solana {
            chain: "solana:x".to_owned(),
            signature,
            slot: 1,
            transaction,
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn texts_never_panic(text in text()) {
        let _ = SignedNote::parse(&text);
        let _ = Checkpoint::parse(&text);
        let _ = TlogProof::parse(&text);
        let _ = text.parse::<VerifierKey>();
        let _ = text.parse::<Policy>();
        let _ = TrustedBlocks::parse(&text);
        let _ = api_verify::parse(&text);
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Leaf::parse(&bytes);
        let tagged = [b"roadstead.leaf\x01", bytes.as_slice()].concat();
        let _ = Leaf::parse(&tagged);
        let _ = api_verify::parse(&String::from_utf8_lossy(&bytes));
    }

    /// Evidence that was not made from the commitment is never believed.
    #[test]
    fn random_evidence_is_refused(evidence in evidence()) {
        prop_assert!(check(&evidence, &COMMITMENT, &TrustedBlocks::default()).is_err());
    }
}
