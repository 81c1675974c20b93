use chain_core::{Address, AssetId, ChainFamily, ChainId, IdError, UncheckedAddress};
use ed25519_dalek::VerifyingKey;
use solana_pubkey::Pubkey;
use solana_sdk_ids as ids;
use spl_associated_token_account_interface::address::get_associated_token_address;

/// How much of a refused text is repeated; an address has at most 44 characters.
const CHARS_MAX: usize = 64;

/// Accounts that everybody knows and nobody holds the key of, though some lie on the curve.
const NOT_A_WALLET: [Pubkey; 25] = [
    ids::system_program::ID,
    ids::incinerator::ID,
    ids::compute_budget::ID,
    ids::bpf_loader::ID,
    ids::bpf_loader_deprecated::ID,
    ids::bpf_loader_upgradeable::ID,
    ids::loader_v4::ID,
    ids::native_loader::ID,
    ids::config::ID,
    ids::feature::ID,
    ids::stake::ID,
    ids::vote::ID,
    ids::address_lookup_table::ID,
    ids::ed25519_program::ID,
    ids::secp256k1_program::ID,
    ids::secp256r1_program::ID,
    ids::sysvar::ID,
    ids::sysvar::clock::ID,
    ids::sysvar::instructions::ID,
    ids::sysvar::recent_blockhashes::ID,
    ids::sysvar::rent::ID,
    spl_token_interface::ID,
    spl_token_interface::native_mint::ID,
    spl_associated_token_account_interface::program::ID,
    spl_memo_interface::v3::ID,
];

/// Checks the address of a wallet: 32 bytes in canonical base58, a point on the Ed25519 curve of
/// full order (so that somebody can hold its key), and no well-known program, system variable or
/// mint.
///
/// An associated token account, a program-derived account and the default address are refused; a
/// mint made from a key pair cannot be told from a wallet offline, so the node looks at the
/// account before it is paid. Solana addresses name no network.
///
/// # Errors
/// [`IdError::Address`] with the reason; [`IdError::Chain`] when `chain` is of another family.
pub fn check_address(chain: &ChainId, text: &UncheckedAddress) -> Result<Address, IdError> {
    wallet(chain, &text.0).map(|key| address(chain, &key))
}

/// The address of an Ed25519 public key: the key itself in base58.
///
/// # Errors
/// As [`check_address`].
pub fn address_of_public_key(chain: &ChainId, key: &[u8; 32]) -> Result<Address, IdError> {
    check_address(chain, &UncheckedAddress(Pubkey::new_from_array(*key).to_string()))
}

/// The address of the payer's durable nonce account `number`: derived with the seed text
/// `roadstead-nonce-<number>`, owned by the system program.
///
/// # Errors
/// [`IdError::Address`] when `payer` is not a wallet.
pub fn nonce_address(payer: &Address, number: u32) -> Result<Address, IdError> {
    let chain = payer.chain();
    let key = nonce_key(&wallet(chain, payer.as_str())?, number)
        .ok_or_else(|| refused(chain, payer.as_str(), "no nonce account can be derived"))?;
    Ok(address(chain, &key))
}

/// The associated token account of `owner` for `asset`, a token of the SPL Token program.
///
/// # Errors
/// [`IdError`] when `owner` is not a wallet or `asset` is not a token of its network.
pub fn token_account(owner: &Address, asset: &AssetId) -> Result<Address, IdError> {
    let chain = owner.chain();
    let (owner, mint) = (wallet(chain, owner.as_str())?, mint(chain, asset)?);
    Ok(address(chain, &get_associated_token_address(&owner, &mint)))
}

/// An account of any kind as an [`Address`]; only [`wallet`]s may be paid.
pub(crate) fn address(chain: &ChainId, key: &Pubkey) -> Address {
    Address::from_canonical(chain.clone(), key.to_string())
}

/// The public key behind a checked address of `chain`, checked once more.
pub(crate) fn wallet_key(chain: &ChainId, address: &Address) -> Result<Pubkey, IdError> {
    if address.chain() == chain {
        wallet(chain, address.as_str())
    } else {
        Err(refused(chain, address.as_str(), &format!("it belongs to {}", address.chain())))
    }
}

/// The public key of an account of any kind.
pub(crate) fn account_key(chain: &ChainId, address: &Address) -> Result<Pubkey, IdError> {
    if address.chain() == chain {
        parse(chain, address.as_str())
    } else {
        Err(refused(chain, address.as_str(), &format!("it belongs to {}", address.chain())))
    }
}

/// The mint of a token of `chain`.
pub(crate) fn mint(chain: &ChainId, asset: &AssetId) -> Result<Pubkey, IdError> {
    let error = || IdError::Asset(asset.to_string());
    let text = asset.token().filter(|_| asset.chain() == chain).ok_or_else(error)?;
    let key = parse(chain, text).map_err(|_| error())?;
    if key == ids::system_program::ID { Err(error()) } else { Ok(key) }
}

/// The asset of a mint.
pub(crate) fn token(chain: &ChainId, mint: &Pubkey) -> Result<AssetId, IdError> {
    format!("{chain}/token:{mint}").parse()
}

/// The key of the payer's nonce account; `None` only for a payer that is itself a program.
pub(crate) fn nonce_key(payer: &Pubkey, number: u32) -> Option<Pubkey> {
    Pubkey::create_with_seed(payer, &nonce_seed(number), &ids::system_program::ID).ok()
}

/// The seed text of a nonce account.
pub(crate) fn nonce_seed(number: u32) -> String {
    format!("roadstead-nonce-{number}")
}

fn wallet(chain: &ChainId, text: &str) -> Result<Pubkey, IdError> {
    let key = parse(chain, text)?;
    if NOT_A_WALLET.contains(&key) {
        return Err(refused(chain, text, "it is a program of the network, not a wallet"));
    }
    match VerifyingKey::from_bytes(&key.to_bytes()) {
        Ok(point) if !point.is_weak() => Ok(key),
        Ok(_) => Err(refused(chain, text, "it is a weak key that anybody can sign for")),
        Err(_) => Err(refused(
            chain,
            text,
            "it is an account of a program (such as a token account), not a wallet: nobody holds its key",
        )),
    }
}

fn parse(chain: &ChainId, text: &str) -> Result<Pubkey, IdError> {
    if chain.family() != ChainFamily::Solana {
        return Err(IdError::Chain(chain.to_string()));
    }
    let key: Pubkey =
        text.parse().map_err(|_| refused(chain, text, "it is not 32 bytes in base58"))?;
    if key.to_string() == text {
        Ok(key)
    } else {
        Err(refused(chain, text, "it is not written in the one canonical way"))
    }
}

fn refused(chain: &ChainId, text: &str, reason: &str) -> IdError {
    let text = text.chars().take(CHARS_MAX).collect();
    IdError::Address { text, chain: chain.clone(), reason: reason.to_owned() }
}
