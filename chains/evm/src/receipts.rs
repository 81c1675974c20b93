use alloy_primitives::{B256, Bytes};
use alloy_trie::HashBuilder;
use alloy_trie::Nibbles;
use alloy_trie::proof::ProofRetainer;

/// A receipt in the trie of its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptProof {
    /// The root over all receipts; the block's header must have the same.
    pub root: B256,
    /// The RLP of the trie's nodes from the root down to the receipt.
    pub nodes: Vec<Bytes>,
}

/// Why there is no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptProofError {
    /// The block has fewer receipts.
    #[error("there is no receipt {index} among {count}")]
    NoSuchReceipt {
        /// Which was asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
}

/// Proves that the receipt at `index` is one of a block's `receipts`, given each in its EIP-2718
/// encoding. The trie maps the RLP of the index to the receipt (Yellow Paper 4.3.2).
///
/// # Errors
/// [`ReceiptProofError::NoSuchReceipt`].
pub fn receipt_proof(
    receipts: &[Vec<u8>],
    index: usize,
) -> Result<ReceiptProof, ReceiptProofError> {
    let count = receipts.len();
    if index >= count {
        return Err(ReceiptProofError::NoSuchReceipt { index, count });
    }
    let mut leaves: Vec<(Nibbles, &Vec<u8>)> =
        receipts.iter().enumerate().map(|(at, receipt)| (key(at), receipt)).collect();
    leaves.sort_unstable_by_key(|(path, _)| *path);
    let retainer = ProofRetainer::new(vec![key(index)]);
    let mut builder = HashBuilder::default().with_proof_retainer(retainer);
    for (path, receipt) in leaves {
        builder.add_leaf(path, receipt);
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes().into_nodes_sorted();
    Ok(ReceiptProof { root, nodes: nodes.into_iter().map(|(_, node)| node).collect() })
}

fn key(index: usize) -> Nibbles {
    Nibbles::unpack(alloy_rlp::encode(index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_trie::proof::verify_proof;
    use alloy_trie::root::ordered_trie_root_encoded;
    use proptest::prelude::*;

    proptest! {
        /// Up to 300 receipts, so that keys of one, two and three bytes occur.
        #[test]
        fn every_receipt_of_a_block_is_proved_and_no_other(
            receipts in prop::collection::vec(prop::collection::vec(any::<u8>(), 40..99), 1..300),
            at in any::<prop::sample::Index>(),
        ) {
            let at = at.index(receipts.len());
            let Ok(proof) = receipt_proof(&receipts, at) else { panic!("it is there") };
            prop_assert_eq!(proof.root, ordered_trie_root_encoded(&receipts));
            let verify = |value: Vec<u8>| verify_proof(proof.root, key(at), Some(value), &proof.nodes);
            prop_assert!(verify(receipts[at].clone()).is_ok());
            prop_assert!(verify([&receipts[at][..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn a_receipt_that_is_not_there_has_no_proof() {
        let missing = ReceiptProofError::NoSuchReceipt { index: 1, count: 1 };
        assert_eq!(receipt_proof(&[vec![1]], 1), Err(missing));
        assert!(receipt_proof(&[], 0).is_err());
    }
}
