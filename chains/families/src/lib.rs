#![doc = include_str!("../README.md")]
#![warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use chain_core::{
    Address, Amount, AssetId, BuildError, ChainFamily, ChainId, Context, IdError, Intent,
    KeyScheme, Payment, Signature, SignedTx, SigningPayload, TxSummary, UncheckedAddress,
    UnsignedTx,
};

/// Checks that `text` is an address of `chain`, checksum and network, and gives its canonical form.
///
/// # Errors
/// [`IdError::Address`] says what is wrong with it.
pub fn check_address(chain: &ChainId, text: &UncheckedAddress) -> Result<Address, IdError> {
    match chain.family() {
        ChainFamily::Bitcoin => chain_bitcoin::check_address(chain, text),
        ChainFamily::Evm => chain_evm::check_address(chain, text),
        ChainFamily::Solana => chain_solana::check_address(chain, text),
    }
}

/// The address of a public key: 33 bytes compressed on Bitcoin (the internal key for Taproot) and
/// EVM chains, 32 bytes on Solana.
///
/// # Errors
/// [`IdError::Address`] when the scheme is another family's or the bytes are no key of it.
pub fn address_of_public_key(
    chain: &ChainId,
    scheme: KeyScheme,
    public_key: &[u8],
) -> Result<Address, IdError> {
    let refuse = |reason: &str| IdError::Address {
        text: String::new(),
        chain: chain.clone(),
        reason: reason.to_owned(),
    };
    let length = || refuse("the public key has the wrong length");
    if scheme.family() != chain.family() {
        return Err(refuse("keys of this scheme have no address there"));
    }
    match scheme {
        KeyScheme::Bip84 | KeyScheme::Bip86 => {
            let key = public_key.try_into().map_err(|_| length())?;
            chain_bitcoin::address_of_public_key(chain, scheme, key)
        }
        KeyScheme::Bip44Evm => {
            let key = public_key.try_into().map_err(|_| length())?;
            chain_evm::address_of_public_key(chain, key)
        }
        KeyScheme::Slip10Solana => {
            let key = public_key.try_into().map_err(|_| length())?;
            chain_solana::address_of_public_key(chain, key)
        }
    }
}

/// Checks what of a payment can be checked before there is a world to build it in, so that a caller
/// hears at once of an amount that the chain never carries.
///
/// # Errors
/// [`BuildError::Zero`], [`BuildError::Dust`], [`BuildError::Amount`] past what the chain can count.
pub fn check_payment(payment: &Payment) -> Result<(), BuildError> {
    if payment.amount.is_zero() {
        return Err(BuildError::Zero);
    }
    match payment.asset.chain().family() {
        ChainFamily::Bitcoin => chain_bitcoin::check_payment(payment, payment.asset.chain()),
        // Lamports and token units are 64-bit numbers there.
        ChainFamily::Solana => Ok(payment.amount.to_u64().map(|_| ())?),
        ChainFamily::Evm => Ok(()),
    }
}

/// Builds the transaction that does what `intent` says in the world of `context`.
///
/// # Errors
/// [`BuildError`]; [`BuildError::Unsupported`] when the context is another family's.
pub fn build(intent: &Intent, context: &Context) -> Result<UnsignedTx, BuildError> {
    match (intent.chain.family(), context) {
        (ChainFamily::Bitcoin, Context::Bitcoin(context)) => chain_bitcoin::build(intent, context),
        (ChainFamily::Evm, Context::Evm(context)) => chain_evm::build(intent, context),
        (ChainFamily::Solana, Context::Solana(context)) => chain_solana::build(intent, context),
        (ChainFamily::Bitcoin | ChainFamily::Evm | ChainFamily::Solana, _) => {
            Err(BuildError::Unsupported("the context is another family's".to_owned()))
        }
    }
}

/// How much of `asset` a sweep to `to` can move in the world of `context`, after the fee where the
/// same money pays it.
///
/// # Errors
/// [`BuildError`] when nothing can be moved, or the context is another family's.
pub fn sweepable(context: &Context, asset: &AssetId, to: &Address) -> Result<Amount, BuildError> {
    let amount = match (asset.chain().family(), context) {
        (ChainFamily::Bitcoin, Context::Bitcoin(context)) => chain_bitcoin::sweepable(context, to),
        (ChainFamily::Evm, Context::Evm(context)) => chain_evm::sweepable(context, asset),
        (ChainFamily::Solana, Context::Solana(context)) => {
            Ok(chain_solana::sweepable(context, asset))
        }
        (ChainFamily::Bitcoin | ChainFamily::Evm | ChainFamily::Solana, _) => {
            Err(BuildError::Unsupported("the context is another family's".to_owned()))
        }
    }?;
    if amount.is_zero() { Err(BuildError::Zero) } else { Ok(amount) }
}

/// Reads back from the exact bytes what they would do.
///
/// # Errors
/// [`BuildError::Malformed`] when they are not of the kind that is built here.
pub fn describe(unsigned: &UnsignedTx) -> Result<TxSummary, BuildError> {
    match unsigned.chain.family() {
        ChainFamily::Bitcoin => chain_bitcoin::describe(unsigned),
        ChainFamily::Evm => chain_evm::describe(unsigned),
        ChainFamily::Solana => chain_solana::describe(unsigned),
    }
}

/// What each of the transaction's signers must sign.
///
/// # Errors
/// As [`describe`].
pub fn payloads(unsigned: &UnsignedTx) -> Result<Vec<SigningPayload>, BuildError> {
    match unsigned.chain.family() {
        ChainFamily::Bitcoin => chain_bitcoin::payloads(unsigned),
        ChainFamily::Evm => chain_evm::payloads(unsigned),
        ChainFamily::Solana => chain_solana::payloads(unsigned),
    }
}

/// Verifies the signatures and puts them into the transaction.
///
/// # Errors
/// [`BuildError::BadSignature`] names the first that does not verify.
pub fn assemble(unsigned: &UnsignedTx, signatures: &[Signature]) -> Result<SignedTx, BuildError> {
    match unsigned.chain.family() {
        ChainFamily::Bitcoin => chain_bitcoin::assemble(unsigned, signatures),
        ChainFamily::Evm => chain_evm::assemble(unsigned, signatures),
        ChainFamily::Solana => chain_solana::assemble(unsigned, signatures),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use chain_core::{Action, EvmContext, IntentId, KeyedAddress, Payment, Purpose};

    use super::*;

    const REGTEST: &str = "bip122:0f9188f13cb7b2c71f2a335e3a4fc328";
    const SOLANA: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";

    fn chain(text: &str) -> ChainId {
        text.parse().unwrap()
    }

    #[test]
    fn promise_02_public_keys_of_the_vectors_have_the_published_addresses() {
        let address = |on: &str, scheme, key: &str| {
            let key = hex::decode(key).unwrap();
            address_of_public_key(&chain(on), scheme, &key).map(|address| address.to_string())
        };
        let main = "bip122:000000000019d6689c085ae165831e93";
        // BIP-84 and BIP-86, first receiving address.
        let key = "0330d54fd0dd420a6e5f8d3624f5f3482cae350f79d5f0753bf5beef9c2d91af3c";
        let expected = "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu";
        assert_eq!(address(main, KeyScheme::Bip84, key).unwrap(), expected);
        let key = "02cc8a4bc64d897bddc5fbc2f670f7a8ba0b386779106cf1223c6fc5d7cd6fc115";
        let expected = "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr";
        assert_eq!(address(main, KeyScheme::Bip86, key).unwrap(), expected);
        assert!(address(main, KeyScheme::Bip44Evm, key).is_err());
        assert!(address("eip155:1", KeyScheme::Bip44Evm, &key[..64]).is_err());
        // The key 0x46 * 32 of EIP-155's example.
        let key = "024bc2a31265153f07e70e0bab08724e6b85e217f8cd628ceb62974247bb493382";
        let expected = "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F";
        assert_eq!(address("eip155:1", KeyScheme::Bip44Evm, key).unwrap(), expected);
        // The master key of SLIP-10's first vector, in base58.
        let key = "a4465fd76c16fcc458448076372abf1912cc5b150663a64dffefe550f96feadd";
        let expected = "C4G6umMVaPftKt9dw2Z5LxQCqbqUk2EvfMkDRk18jFmn";
        assert_eq!(address(SOLANA, KeyScheme::Slip10Solana, key).unwrap(), expected);
    }

    #[test]
    fn an_address_of_one_family_is_refused_by_the_others() {
        let given = [
            (REGTEST, "bcrt1qcr8te4kr609gcawutmrza0j4xv80jy8zeqchgx"),
            ("eip155:31337", "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"),
            (SOLANA, "C4G6umMVaPftKt9dw2Z5LxQCqbqUk2EvfMkDRk18jFmn"),
        ];
        for (on, _) in given {
            for (of, text) in given {
                let checked = check_address(&chain(on), &UncheckedAddress(text.to_owned()));
                assert_eq!(checked.is_ok(), on == of, "{text} on {on}: {checked:?}");
            }
        }
    }

    #[test]
    fn a_context_of_another_family_is_refused() {
        let evm = chain("eip155:31337");
        let text = UncheckedAddress("0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F".to_owned());
        let sender = KeyedAddress {
            key: "bip44-evm/0/0/0".parse().unwrap(),
            address: check_address(&evm, &text).unwrap(),
        };
        let context = Context::Evm(EvmContext {
            sender: sender.clone(),
            nonce: 0,
            max_fee_per_gas: 10,
            max_priority_fee_per_gas: 1,
            gas_limit: 21_000,
            balance: Amount::new(1_000_000),
            token_balance: None,
        });
        let pay = |on: &ChainId| Intent {
            id: IntentId(uuid::Uuid::from_u128(1)),
            chain: on.clone(),
            purpose: Purpose::Withdrawal,
            action: Action::Pay {
                payments: vec![Payment {
                    to: sender.address.clone(),
                    asset: on.native(),
                    amount: Amount::new(5),
                }],
            },
            fee_max: Amount::new(1_000_000),
        };
        let unsigned = build(&pay(&evm), &context).unwrap();
        assert_eq!(describe(&unsigned).unwrap().action, pay(&evm).action);
        assert_eq!(payloads(&unsigned).unwrap().len(), 1);
        for other in [chain(REGTEST), chain(SOLANA)] {
            assert!(matches!(build(&pay(&other), &context), Err(BuildError::Unsupported(_))));
            let swept = sweepable(&context, &other.native(), &sender.address);
            assert!(matches!(swept, Err(BuildError::Unsupported(_))));
        }
        let swept = sweepable(&context, &evm.native(), &sender.address).unwrap();
        assert_eq!(swept, Amount::new(790_000));
    }
}
