//! What arrived in a transaction, from balances alone: logs and instructions can claim anything.

use std::collections::BTreeMap;

use chain_core::{
    Address, Amount, ChainId, NodeError, ScannedAmount, ScannedDeposit, TxId, UncheckedAddress,
    WatchSet,
};
use chain_solana::{TOKEN_PROGRAM, check_address, token_account};

use super::wire::{BlockTransaction, Meta, TokenBalance};

/// The deposits of one transaction, lamports first, then tokens, in the order of its accounts.
///
/// A failed transaction gives none. Lamports: a watched wallet holds more than before. Tokens: the
/// associated token account of a watched wallet for a registered mint of the SPL Token program
/// holds more than before, and its owner, mint and program were the same before, if it existed.
pub(super) fn deposits(
    chain: &ChainId,
    transaction: &BlockTransaction,
    watch: &WatchSet,
) -> Result<Vec<ScannedDeposit>, NodeError> {
    let list = &transaction.transaction;
    let keys: Vec<&str> = list.account_keys.iter().map(|key| key.pubkey.as_str()).collect();
    let meta = transaction.meta.as_ref().ok_or_else(|| malformed("a block without balances"))?;
    if !meta.err.is_null() {
        return Ok(Vec::new());
    }
    let signature = list.signatures.first().ok_or_else(|| malformed("no signature"))?;
    let deposit = |position: String, to: Address, asset, amount| ScannedDeposit {
        tx: TxId(signature.clone()),
        position,
        to,
        asset,
        amount: ScannedAmount::Exact(amount),
        coinbase: false,
    };
    let native = lamports(&keys, meta, watch)?
        .into_iter()
        .map(|(owner, amount)| {
            let to = wallet(chain, owner)?;
            Ok(deposit(format!("native:{owner}"), to, chain.native(), amount))
        })
        .collect::<Result<Vec<_>, NodeError>>()?;
    let tokens = tokens(chain, &keys, meta, watch)?.into_iter().map(|arrival| {
        let Arrival { account, owner, asset, amount } = arrival;
        deposit(format!("token:{account}"), owner, asset, amount)
    });
    Ok(native.into_iter().chain(tokens).collect())
}

/// Watched wallets that hold more lamports than before.
fn lamports<'a>(
    keys: &[&'a str],
    meta: &Meta,
    watch: &WatchSet,
) -> Result<Vec<(&'a str, Amount)>, NodeError> {
    let (before, after) = (&meta.pre_balances, &meta.post_balances);
    if before.len() != keys.len() || after.len() != keys.len() {
        return Err(malformed("balances and accounts differ in number"));
    }
    let changes = keys.iter().zip(before.iter().zip(after));
    let arrived = changes.filter_map(|(key, (before, after))| {
        let more = after.checked_sub(*before).filter(|more| *more > 0)?;
        watch.addresses.contains(*key).then(|| (*key, Amount::from(more)))
    });
    Ok(arrived.collect())
}

/// Tokens that arrived.
struct Arrival {
    account: Address,
    owner: Address,
    asset: chain_core::AssetId,
    amount: Amount,
}

fn tokens(
    chain: &ChainId,
    keys: &[&str],
    meta: &Meta,
    watch: &WatchSet,
) -> Result<Vec<Arrival>, NodeError> {
    let before = by_account(meta.pre_token_balances.as_deref())?;
    let after = by_account(meta.post_token_balances.as_deref())?;
    let mut arrivals = Vec::new();
    for (index, after) in after {
        let Some(owner) = after.owner.as_ref().filter(|owner| watch.addresses.contains(*owner))
        else {
            continue;
        };
        if !watch.tokens.contains(&after.mint) || after.program_id.as_deref() != Some(TOKEN_PROGRAM)
        {
            continue;
        }
        let key = keys.get(index).ok_or_else(|| malformed("a token balance of no account"))?;
        let owner = wallet(chain, owner)?;
        let asset = format!("{chain}/token:{}", after.mint);
        let asset = asset.parse().map_err(|_| malformed("a mint that is no address"))?;
        let account = token_account(&owner, &asset).map_err(|error| malformed_by(&error))?;
        if account.as_str() != *key {
            continue;
        }
        if let Some(amount) = gain(before.get(&index).copied(), after)? {
            arrivals.push(Arrival { account, owner, asset, amount });
        }
    }
    Ok(arrivals)
}

/// How much more an account holds, provided that it was the same wallet's account before.
fn gain(before: Option<&TokenBalance>, after: &TokenBalance) -> Result<Option<Amount>, NodeError> {
    let had = match before {
        None => Amount::ZERO,
        Some(before) => {
            let identity = |side: &TokenBalance| {
                (side.owner.clone(), side.mint.clone(), side.program_id.clone())
            };
            if identity(before) != identity(after) {
                return Ok(None);
            }
            units(before)?
        }
    };
    Ok(units(after)?.checked_sub(had).ok().filter(|more| !more.is_zero()))
}

fn by_account(
    balances: Option<&[TokenBalance]>,
) -> Result<BTreeMap<usize, &TokenBalance>, NodeError> {
    let balances = balances.ok_or_else(|| malformed("a block without token balances"))?;
    let by_account: BTreeMap<_, _> =
        balances.iter().map(|balance| (balance.account_index, balance)).collect();
    if by_account.len() == balances.len() {
        Ok(by_account)
    } else {
        Err(malformed("two token balances of one account"))
    }
}

fn units(balance: &TokenBalance) -> Result<Amount, NodeError> {
    let amount: Amount =
        balance.ui_token_amount.amount.parse().map_err(|error| malformed_by(&error))?;
    amount.to_u64().map(Amount::from).map_err(|error| malformed_by(&error))
}

fn wallet(chain: &ChainId, text: &str) -> Result<Address, NodeError> {
    let unchecked = UncheckedAddress(text.to_owned());
    check_address(chain, &unchecked).map_err(|error| malformed_by(&error))
}

fn malformed(reason: &str) -> NodeError {
    NodeError::Malformed(reason.to_owned())
}

fn malformed_by(error: &dyn std::error::Error) -> NodeError {
    NodeError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::{Value, json};

    use super::*;

    const OWNER: &str = "7EqQdEULxWcraVx3mXKFjc84LhCkMGZCkRuDpvcMwJeK";
    const THIEF: &str = "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi";
    const MINT: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
    const TOKEN_2022: &str = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb";

    fn chain() -> ChainId {
        "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp".parse().unwrap()
    }

    /// The owner's associated account goes from 10 to 30 units; lamports stay.
    fn arrival() -> Value {
        let owner = wallet(&chain(), OWNER).unwrap();
        let asset = format!("{}/token:{MINT}", chain()).parse().unwrap();
        let account = token_account(&owner, &asset).unwrap();
        let balance = |amount: &str| {
            json!({
                "accountIndex": 1, "mint": MINT, "owner": OWNER, "programId": TOKEN_PROGRAM,
                "uiTokenAmount": { "amount": amount, "decimals": 6 },
            })
        };
        json!({
            "transaction": {
                "signatures": ["signature"],
                "accountKeys": [{ "pubkey": THIEF }, { "pubkey": account.as_str() }, { "pubkey": OWNER }],
            },
            "meta": {
                "err": null, "fee": 5000,
                "preBalances": [9, 9, 9], "postBalances": [4, 9, 9],
                "preTokenBalances": [balance("10")], "postTokenBalances": [balance("30")],
            },
        })
    }

    /// The amounts found after `change` of the arrival at `pointer`.
    fn amounts(pointer: &str, change: Value) -> Result<Vec<u128>, NodeError> {
        let mut transaction = arrival();
        *transaction.pointer_mut(pointer).unwrap() = change;
        let watch =
            WatchSet { addresses: [OWNER.to_owned()].into(), tokens: [MINT.to_owned()].into() };
        let transaction = serde_json::from_value(transaction)
            .map_err(|error| NodeError::Malformed(error.to_string()))?;
        let found = deposits(&chain(), &transaction, &watch)?;
        let amount = |found: ScannedDeposit| match found.amount {
            ScannedAmount::Exact(amount) => amount.minor(),
            ScannedAmount::TooLarge(text) => panic!("{text}"),
        };
        Ok(found.into_iter().map(amount).collect())
    }

    #[test]
    fn the_change_of_balance_counts() {
        assert_eq!(amounts("/meta/fee", json!(5000)).unwrap(), [20]);
        assert_eq!(amounts("/meta/preTokenBalances", json!([])).unwrap(), [30], "a new account");
        assert_eq!(amounts("/meta/postBalances/2", json!(12)).unwrap(), [3, 20]);
        let same = "/meta/preTokenBalances/0/uiTokenAmount/amount";
        assert_eq!(amounts(same, json!("30")).unwrap(), [], "closed and created again");
        assert_eq!(amounts(same, json!("31")).unwrap(), [], "less than before");
        assert_eq!(amounts("/meta/postBalances/2", json!(8)).unwrap(), [20], "less than before");
        assert_eq!(amounts("/meta/postBalances/0", json!(99)).unwrap(), [20], "not watched");
    }

    #[test]
    fn promise_21_what_only_looks_like_a_deposit() {
        let failed = json!({ "SomeErrorOfNextYear": [1] });
        for (pointer, change) in [
            ("/meta/err", failed),
            ("/meta/preTokenBalances/0/owner", json!(THIEF)),
            ("/meta/preTokenBalances/0/owner", json!(null)),
            ("/meta/postTokenBalances/0/owner", json!(THIEF)),
            ("/meta/postTokenBalances/0/owner", json!(null)),
            ("/meta/preTokenBalances/0/mint", json!(THIEF)),
            ("/meta/postTokenBalances/0/mint", json!(THIEF)),
            ("/meta/preTokenBalances/0/programId", json!(TOKEN_2022)),
            ("/meta/postTokenBalances/0/programId", json!(TOKEN_2022)),
            ("/meta/postTokenBalances/0/programId", json!(null)),
            ("/transaction/accountKeys/1/pubkey", json!(THIEF)),
            ("/meta/postTokenBalances/0/accountIndex", json!(0)),
        ] {
            assert_eq!(amounts(pointer, change.clone()).unwrap(), [], "{pointer} {change}");
        }
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_an_error_and_not_an_empty_block() {
        let twice = arrival()["meta"]["postTokenBalances"][0].clone();
        for (pointer, change) in [
            ("/meta", json!(null)),
            ("/meta", json!({})),
            ("/meta/preBalances", json!([1, 2])),
            ("/meta/postBalances", json!([1, 2, 3, 4])),
            ("/meta/preTokenBalances", json!(null)),
            ("/meta/postTokenBalances", json!([twice, twice])),
            ("/meta/postTokenBalances/0/accountIndex", json!(3)),
            ("/meta/postTokenBalances/0/uiTokenAmount/amount", json!("-1")),
            ("/meta/postTokenBalances/0/uiTokenAmount/amount", json!("18446744073709551616")),
            ("/transaction/signatures", json!([])),
        ] {
            let found = amounts(pointer, change.clone());
            assert!(matches!(found, Err(NodeError::Malformed(_))), "{pointer} {change} {found:?}");
        }
        // No word on success or failure: the block is not read.
        let mut silent = arrival()["meta"].clone();
        silent.as_object_mut().unwrap().remove("err");
        assert!(matches!(amounts("/meta", silent), Err(NodeError::Malformed(_))));
    }
}
