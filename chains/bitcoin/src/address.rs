use bitcoin::address::NetworkUnchecked;
use bitcoin::key::CompressedPublicKey;
use bitcoin::secp256k1::Secp256k1;
use bitcoin::{AddressType, Network, Script, ScriptBuf, XOnlyPublicKey};
use chain_core::{Address, ChainId, IdError, KeyScheme, UncheckedAddress};

/// The first 32 hexadecimal digits of each network's genesis hash (the CAIP-2 namespace `bip122`).
const NETWORKS: [(&str, Network); 5] = [
    ("000000000019d6689c085ae165831e93", Network::Bitcoin),
    ("000000000933ea01ad0ee984209779ba", Network::Testnet),
    ("00000000da84f2bafbbc53dee25a72ae", Network::Testnet4),
    ("00000008819873e925422c1ff0f99f7c", Network::Signet),
    ("0f9188f13cb7b2c71f2a335e3a4fc328", Network::Regtest),
];

/// The longest address there is (BIP-173).
const ADDRESS_CHARS_MAX: usize = 90;

/// The network that a CAIP-2 id names.
///
/// # Errors
/// [`IdError::Chain`] when it names none of Bitcoin's.
pub fn network(chain: &ChainId) -> Result<Network, IdError> {
    NETWORKS
        .iter()
        .find(|(genesis, _)| chain.as_str().strip_prefix("bip122:") == Some(*genesis))
        .map(|(_, network)| *network)
        .ok_or_else(|| IdError::Chain(chain.to_string()))
}

/// Checks the text of an address that is to be paid and brings it into its canonical form.
///
/// P2PKH, P2SH, P2WPKH, P2WSH and P2TR are known (BIP-13, 141, 173, 341, 350). An unknown witness
/// version is refused, because nobody can spend it yet, and so is a Taproot output whose key is no
/// point of the curve, because nobody ever can. The three public test networks share their prefixes,
/// so that one's address is accepted on another.
///
/// # Errors
/// [`IdError`] when the network is unknown, or the text is not an address of it that can be paid.
pub fn check_address(chain: &ChainId, text: &UncheckedAddress) -> Result<Address, IdError> {
    let network = network(chain)?;
    let refuse = |reason: &str| IdError::Address {
        text: text.0.chars().take(ADDRESS_CHARS_MAX).collect(),
        chain: chain.clone(),
        reason: reason.to_owned(),
    };
    if text.0.len() > ADDRESS_CHARS_MAX {
        return Err(refuse("it is too long"));
    }
    let address: bitcoin::Address<NetworkUnchecked> =
        text.0.parse().map_err(|error| refuse(&spelling(&error)))?;
    let address =
        address.require_network(network).map_err(|_| refuse("it belongs to another network"))?;
    payable(&address).map_err(refuse)?;
    Ok(Address::from_canonical(chain.clone(), address.to_string()))
}

fn spelling(error: &bitcoin::address::ParseError) -> String {
    use bitcoin::address::ParseError;
    match error {
        ParseError::Bech32(inner) => format!("its checksum or spelling is wrong: {inner}"),
        ParseError::Base58(inner) => format!("its checksum or spelling is wrong: {inner}"),
        other => other.to_string(),
    }
}

fn payable(address: &bitcoin::Address) -> Result<(), &'static str> {
    match address.address_type() {
        Some(AddressType::P2tr) => {
            let script = address.script_pubkey();
            let key = script.as_bytes().get(2..).unwrap_or_default();
            XOnlyPublicKey::from_slice(key)
                .map(drop)
                .map_err(|_| "its Taproot key is no point of the curve, so nobody could spend it")
        }
        Some(AddressType::P2pkh | AddressType::P2sh | AddressType::P2wpkh | AddressType::P2wsh) => {
            Ok(())
        }
        _ => Err("its witness version or program is unknown, so nobody could spend it yet"),
    }
}

/// The locking script of an address, which is checked again: text that is not canonical is refused.
///
/// # Errors
/// [`IdError`] as [`check_address`].
pub fn script_of(address: &Address) -> Result<ScriptBuf, IdError> {
    let chain = address.chain();
    let refuse = |reason: &str| IdError::Address {
        text: address.to_string(),
        chain: chain.clone(),
        reason: reason.to_owned(),
    };
    let checked = check_address(chain, &address.to_unchecked())?;
    if checked != *address {
        return Err(refuse("it is not in its canonical form"));
    }
    let parsed: bitcoin::Address<NetworkUnchecked> =
        checked.as_str().parse().map_err(|_| refuse("it is no address"))?;
    let known = parsed
        .require_network(network(chain)?)
        .map_err(|_| refuse("it belongs to another network"))?;
    Ok(known.script_pubkey())
}

/// The address that a locking script pays, or `None` when it is of no kind that [`check_address`]
/// knows (a bare public key, a multisignature, `OP_RETURN`).
///
/// # Errors
/// [`IdError::Chain`] when the network is unknown.
pub fn address_of_script(chain: &ChainId, script: &Script) -> Result<Option<Address>, IdError> {
    let address = bitcoin::Address::from_script(script, network(chain)?).ok();
    Ok(address
        .filter(|address| payable(address).is_ok())
        .map(|address| Address::from_canonical(chain.clone(), address.to_string())))
}

/// The address of a compressed public key: P2WPKH for [`KeyScheme::Bip84`]; for
/// [`KeyScheme::Bip86`] P2TR, the key being the internal key and tweaked without a script tree.
///
/// # Errors
/// [`IdError`] when the network is unknown, the key is no point of the curve, or the scheme is not
/// one of Bitcoin's.
pub fn address_of_public_key(
    chain: &ChainId,
    scheme: KeyScheme,
    public_key: &[u8; 33],
) -> Result<Address, IdError> {
    let network = network(chain)?;
    let refuse = |reason: &str| IdError::Address {
        text: String::new(),
        chain: chain.clone(),
        reason: reason.to_owned(),
    };
    let key = CompressedPublicKey::from_slice(public_key)
        .map_err(|_| refuse("the public key is no point of the curve"))?;
    let address = match scheme {
        KeyScheme::Bip84 => bitcoin::Address::p2wpkh(&key, network),
        KeyScheme::Bip86 => {
            let (internal, _) = key.0.x_only_public_key();
            bitcoin::Address::p2tr(&Secp256k1::verification_only(), internal, None, network)
        }
        KeyScheme::Bip44Evm | KeyScheme::Slip10Solana => {
            return Err(refuse("the key's scheme is not one of Bitcoin's"));
        }
    };
    Ok(Address::from_canonical(chain.clone(), address.to_string()))
}
