//! A signer in a folder of its own, and requests as an honest server makes them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use chain_core::{
    Action, Address, Amount, AnchorCommitment, AssetId, BitcoinContext, ChainId, Coin, Context,
    EvmContext, Intent, IntentId, KeyedAddress, OutPoint, Payment, Purpose, SolanaContext, TxId,
    UncheckedAddress,
};
use custody::{Phrase, keystore};
use signer_daemon::journal::Journal;
use signer_daemon::{Config, Engine};
use signer_protocol::{
    AddressRequest, Refusal, RefusalCode, Request, Response, SignRequest, Signed,
};
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) const WORDS: &str = "test test test test test test test test test test test junk";
pub(crate) const PASSPHRASE: &[u8] = b"canary-passphrase-5d1f";
pub(crate) const EVM: &str = "eip155:31337";
pub(crate) const BITCOIN: &str = "bip122:0f9188f13cb7b2c71f2a335e3a4fc328";
pub(crate) const SOLANA: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
pub(crate) const ORIGIN: &str = "roadstead.local/log";
pub(crate) const START: u64 = 1_700_000_000;

/// A signer's folder, its policy, and its clock.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    pub(crate) config: Config,
    pub(crate) clock: Arc<AtomicU64>,
}

impl Place {
    /// Keystore and empty journal from the well-known test mnemonic, and the sample policy.
    pub(crate) fn new() -> Self {
        let place = Self::empty();
        custody::durable::create_private_dir(&place.config.state_dir).unwrap();
        // Stretching a passphrase is slow on purpose, so one keystore serves all tests.
        static KEYSTORE: OnceLock<Vec<u8>> = OnceLock::new();
        let sealed = KEYSTORE.get_or_init(|| {
            let seed = Phrase::parse(WORDS).unwrap().seed("");
            let path = place.path("keystore.json");
            keystore::create(&path, PASSPHRASE, &seed).unwrap();
            std::fs::read(path).unwrap()
        });
        custody::durable::create(&place.config.keystore(), sealed).unwrap();
        Journal::create(&place.config.journal(), &place.config.high_water_dir).unwrap();
        place
    }

    /// Settings and policy, and no keystore yet.
    pub(crate) fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        for name in ["signer.toml", "policy.toml"] {
            let text = std::fs::read_to_string(examples.join(name)).unwrap();
            write_private(&dir.path().join(name), &text);
        }
        write_private(&dir.path().join("passphrase"), std::str::from_utf8(PASSPHRASE).unwrap());
        let config = Config::load(&dir.path().join("signer.toml")).unwrap();
        Self { dir, config, clock: Arc::new(AtomicU64::new(START)) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Opens the engine, with the clock of this place.
    pub(crate) fn engine(&self) -> Engine {
        let keys = keystore::open(&self.config.keystore(), PASSPHRASE).unwrap();
        let clock = Arc::clone(&self.clock);
        let clock = Box::new(move || match clock.load(Ordering::SeqCst) {
            0 => None,
            now => Some(now),
        });
        Engine::open(&self.config, keys, clock).unwrap()
    }

    /// Changes the policy's text.
    pub(crate) fn edit_policy(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.config.policy).unwrap();
        assert!(text.contains(from), "{from}");
        write_private(&self.config.policy, &text.replace(from, to));
    }
}

pub(crate) fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

pub(crate) fn chain(text: &str) -> ChainId {
    text.parse().unwrap()
}

pub(crate) fn asset(text: &str) -> AssetId {
    text.parse().unwrap()
}

pub(crate) fn outsider(on: &str) -> Address {
    let text = match on {
        EVM => "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F",
        BITCOIN => "bcrt1qcr8te4kr609gcawutmrza0j4xv80jy8zeqchgx",
        _ => "C4G6umMVaPftKt9dw2Z5LxQCqbqUk2EvfMkDRk18jFmn",
    };
    checked(on, text)
}

pub(crate) fn checked(on: &str, text: &str) -> Address {
    chain_families::check_address(&chain(on), &UncheckedAddress(text.to_owned())).unwrap()
}

pub(crate) fn issue(engine: &mut Engine, on: &str, key: &str) -> KeyedAddress {
    let request = AddressRequest { chain: chain(on), key: key.parse().unwrap() };
    match engine.handle(&Request::Address(request)) {
        Response::Address(keyed) => keyed,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn sign(engine: &mut Engine, request: &SignRequest) -> Result<Signed, Refusal> {
    match engine.handle(&Request::Sign(Box::new(request.clone()))) {
        Response::Signed(signed) => {
            chain_families::assemble(&request.unsigned, &signed.signatures).unwrap();
            Ok(signed)
        }
        Response::Refused(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn refused(engine: &mut Engine, request: &SignRequest) -> RefusalCode {
    sign(engine, request).unwrap_err().code
}

pub(crate) fn pay(to: &Address, asset: &AssetId, amount: u128) -> Action {
    let payment = Payment { to: to.clone(), asset: asset.clone(), amount: Amount::new(amount) };
    Action::Pay { payments: vec![payment] }
}

pub(crate) fn intent(id: u128, on: &str, purpose: Purpose, action: Action) -> Intent {
    let fee_max = match on {
        EVM => 1_000_000_000_000_000,
        BITCOIN => 50_000,
        _ => 5_000_000,
    };
    let id = IntentId(Uuid::from_u128(id));
    Intent { id, chain: chain(on), purpose, action, fee_max: Amount::new(fee_max) }
}

pub(crate) fn request(intent: Intent, context: &Context) -> SignRequest {
    let unsigned = chain_families::build(&intent, context).unwrap();
    SignRequest { intent, unsigned }
}

pub(crate) fn evm_context(sender: KeyedAddress, nonce: u64, fee_per_gas: u128) -> Context {
    Context::Evm(EvmContext {
        sender,
        nonce,
        max_fee_per_gas: fee_per_gas,
        max_priority_fee_per_gas: 1,
        gas_limit: 100_000,
        balance: Amount::new(10_u128.pow(24)),
        token_balance: Some(Amount::new(10_u128.pow(24))),
    })
}

/// A withdrawal of `amount` wei from the treasury at `nonce`.
pub(crate) fn evm_withdrawal(
    engine: &mut Engine,
    id: u128,
    nonce: u64,
    amount: u128,
) -> SignRequest {
    let sender = issue(engine, EVM, "bip44-evm/0/0/0");
    let action = pay(&outsider(EVM), &chain(EVM).native(), amount);
    let context = evm_context(sender, nonce, 1_000_000_000);
    request(intent(id, EVM, Purpose::Withdrawal, action), &context)
}

pub(crate) fn coin(number: u8, owner: &KeyedAddress, sat: u64) -> Coin {
    let outpoint = OutPoint { txid: TxId(hex::encode([number; 32])), vout: 0 };
    Coin { outpoint, amount: Amount::from(sat), owner: owner.clone() }
}

pub(crate) fn bitcoin_context(
    engine: &mut Engine,
    coins: &[(u8, u64)],
    fee_rate_sat_per_kwu: u64,
) -> Context {
    let owner = issue(engine, BITCOIN, "bip86/0/0/0");
    let coins: Vec<Coin> = coins.iter().map(|(number, sat)| coin(*number, &owner, *sat)).collect();
    Context::Bitcoin(BitcoinContext {
        must_spend: coins.iter().map(|coin| coin.outpoint.clone()).collect(),
        coins,
        fee_rate_sat_per_kwu,
        height: 150,
        change: issue(engine, BITCOIN, "bip86/0/1/0"),
        parents: Vec::new(),
        replaced_fee: Amount::ZERO,
    })
}

/// A withdrawal of `sat` that spends all these coins of the treasury.
pub(crate) fn bitcoin_withdrawal(
    engine: &mut Engine,
    id: u128,
    coins: &[(u8, u64)],
    sat: u128,
) -> SignRequest {
    let context = bitcoin_context(engine, coins, 500);
    let action = pay(&outsider(BITCOIN), &chain(BITCOIN).native(), sat);
    request(intent(id, BITCOIN, Purpose::Withdrawal, action), &context)
}

pub(crate) fn solana_context(engine: &mut Engine, nonce_value: u8) -> SolanaContext {
    let payer = issue(engine, SOLANA, "slip10-solana/0/0/0");
    let account = chain_solana::nonce_address(&payer.address, 0).unwrap();
    let value = outsider_hash(nonce_value);
    SolanaContext {
        fee_payer: payer.clone(),
        owner: payer,
        nonce: Some((account, value.clone())),
        recent_blockhash: value,
        compute_unit_limit: 120_000,
        compute_unit_price: 10_000,
        fee_payer_balance: Amount::new(50_000_000_000),
        balance: Amount::new(50_000_000_000),
        rent_exempt_lamports: Amount::new(1_447_680),
        recipient_is_new: false,
        token_decimals: None,
    }
}

/// 32 bytes in base58, from another signer's keys.
fn outsider_hash(number: u8) -> String {
    let seed = Phrase::parse(WORDS).unwrap().seed("elsewhere");
    let key = format!("slip10-solana/0/0/{number}").parse().unwrap();
    let custody::PublicKey::Ed25519(bytes) =
        custody::Keys::new(&seed).unwrap().public_key(&chain(SOLANA), key).unwrap()
    else {
        panic!("not Ed25519")
    };
    let scheme = chain_core::KeyScheme::Slip10Solana;
    chain_families::address_of_public_key(&chain(SOLANA), scheme, &bytes).unwrap().to_string()
}

/// A withdrawal of lamports over the durable nonce's value of that number.
pub(crate) fn solana_withdrawal(
    engine: &mut Engine,
    id: u128,
    nonce_value: u8,
    lamports: u128,
) -> SignRequest {
    let context = Context::Solana(solana_context(engine, nonce_value));
    let action = pay(&outsider(SOLANA), &chain(SOLANA).native(), lamports);
    request(intent(id, SOLANA, Purpose::Withdrawal, action), &context)
}

/// One withdrawal on each chain, each with an id of its own.
pub(crate) fn three(engine: &mut Engine) -> [SignRequest; 3] {
    [
        evm_withdrawal(engine, 1, 0, 1_000_000),
        bitcoin_withdrawal(engine, 2, &[(1, 1_000_000)], 300_000),
        solana_withdrawal(engine, 3, 1, 2_000_000_000),
    ]
}

pub(crate) fn commitment(size: u64, root: &[u8; 32]) -> AnchorCommitment {
    use sha2::{Digest, Sha256};
    let text = custody::note::checkpoint_text(ORIGIN, size, root).unwrap();
    AnchorCommitment {
        origin: Sha256::digest(ORIGIN).into(),
        size,
        checkpoint: Sha256::digest(text).into(),
    }
}
