use std::collections::BTreeMap;

use alloy_primitives::{Address as RawAddress, B256, Bytes, U256, U512, Uint};
use alloy_sol_types::{SolCall, SolEvent, sol};
use chain_core::NodeError;
use serde_json::{Value, json};

use super::answers::{FullBlock, Receipt};
use super::deposits::{Deposit, Place, Position};
use super::rpc::{CallError, Rpc};
use super::scan::Scan;

sol! {
    interface Erc20 {
        event Transfer(address indexed from, address indexed to, uint256 value);
        function balanceOf(address owner) external view returns (uint256);
    }
}

/// Wide enough for the product of two sums of amounts.
type Wide = Uint<1024, 16>;

/// A token and one of our addresses.
type Account = (RawAddress, RawAddress);

/// What a block's events say of one account.
#[derive(Default)]
struct Claims {
    arrivals: Vec<Arrival>,
    /// What the address itself sent away, by transactions that it signed.
    sent: U512,
}

struct Arrival {
    place: Place,
    tx: B256,
    claimed: U256,
}

/// Registered tokens that arrived at watched addresses.
///
/// Events only say where to look. What is credited is the change of the balance over the block, plus
/// what the address itself sent away in it; where the events claim more than that (fee on transfer,
/// a transfer that returned false, an event without a transfer), it is divided in proportion to the
/// claims.
pub(super) async fn deposits(
    scan: &Scan<'_>,
    block: &FullBlock,
    receipts: &[Receipt],
) -> Result<Vec<Deposit>, NodeError> {
    let mut deposits = Vec::new();
    for (account, claims) in claims(scan, receipts) {
        if claims.arrivals.is_empty() {
            continue;
        }
        let (token, to) = account;
        let before = balance_of(scan.rpc, token, to, at(block.parent_hash)).await?;
        let after = balance_of(scan.rpc, token, to, at(block.header.hash)).await?;
        let claimed: Vec<U256> = claims.arrivals.iter().map(|arrival| arrival.claimed).collect();
        let amounts = divide(arrived(before, after, claims.sent), &claimed);
        for (Arrival { place, tx, .. }, amount) in claims.arrivals.into_iter().zip(amounts) {
            if !amount.is_zero() {
                deposits.push(Deposit { place, tx, to, token: Some(token), amount });
            }
        }
    }
    Ok(deposits)
}

fn claims(scan: &Scan<'_>, receipts: &[Receipt]) -> BTreeMap<Account, Claims> {
    let mut accounts: BTreeMap<Account, Claims> = BTreeMap::new();
    for (transaction, receipt) in receipts.iter().enumerate() {
        if !receipt.succeeded() {
            continue;
        }
        for (index, entry) in receipt.logs.iter().enumerate() {
            if !scan.tokens.contains(&entry.address) {
                continue;
            }
            let Ok(event) = Erc20::Transfer::decode_log_validate(&entry.to_log()) else { continue };
            if event.from == event.to || event.value.is_zero() {
                continue;
            }
            if scan.addresses.contains(&event.to) {
                let place = Place { transaction, position: Position::Log(index) };
                let tx = receipt.transaction_hash;
                let arrival = Arrival { place, tx, claimed: event.value };
                accounts.entry((entry.address, event.to)).or_default().arrivals.push(arrival);
            }
            // An event alone could claim that we sent something; our signature is on this one.
            if receipt.from == event.from && scan.addresses.contains(&event.from) {
                let claims = accounts.entry((entry.address, event.from)).or_default();
                claims.sent = claims.sent.saturating_add(U512::from(event.value));
            }
        }
    }
    accounts
}

/// What arrived: the balance after the block and what was sent away in it, less the balance before.
fn arrived(before: U256, after: U256, sent: U512) -> U512 {
    U512::from(after).saturating_add(sent).saturating_sub(U512::from(before))
}

/// Divides what arrived among the claims: each gets its claim, or its share when there is less.
fn divide(arrived: U512, claims: &[U256]) -> Vec<U256> {
    let sum = claims.iter().fold(U512::ZERO, |sum, claim| sum.saturating_add(U512::from(*claim)));
    let arrived = arrived.min(sum);
    let mut claimed_so_far = U512::ZERO;
    let mut given_so_far = U512::ZERO;
    let mut share = |claim: &U256| {
        claimed_so_far = claimed_so_far.saturating_add(U512::from(*claim));
        // Both factors fit in 256 bits and some: a block holds far fewer than 2^64 events.
        let due = mul_div(arrived, claimed_so_far, sum);
        let given = due.saturating_sub(given_so_far);
        given_so_far = due;
        given.saturating_to::<U256>()
    };
    claims.iter().map(&mut share).collect()
}

/// `a * b / c`, rounded down; zero for a zero `c`.
fn mul_div(a: U512, b: U512, c: U512) -> U512 {
    let product = Wide::from(a).saturating_mul(b.to());
    product.checked_div(c.to()).map(|quotient| quotient.saturating_to()).unwrap_or_default()
}

/// What a token's contract says that `owner` holds at `block` (a tag, or an EIP-1898 object).
/// Nothing where there is no contract, or where it answers with an error of its own.
pub(super) async fn balance_of(
    rpc: &Rpc,
    token: RawAddress,
    owner: RawAddress,
    block: Value,
) -> Result<U256, NodeError> {
    let input = Bytes::from(Erc20::balanceOfCall { owner }.abi_encode());
    let answer: Result<Bytes, CallError> =
        rpc.ask("eth_call", (json!({ "to": token, "data": input }), block)).await;
    match answer {
        Ok(bytes) => Ok(bytes.get(..32).map(U256::from_be_slice).unwrap_or_default()),
        Err(error) if error.is_revert() => {
            tracing::warn!(%token, %owner, "the token does not tell a balance");
            Ok(U256::ZERO)
        }
        Err(error) => Err(error.into()),
    }
}

fn at(block: B256) -> Value {
    json!({ "blockHash": block })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wide(number: u64) -> U256 {
        U256::from(number)
    }

    #[test]
    fn claims_are_met_in_full_when_enough_arrived() {
        let claims = [wide(5), wide(7)];
        assert_eq!(divide(U512::from(12), &claims), claims);
        assert_eq!(divide(U512::from(99), &claims), claims, "never more than was claimed");
        assert_eq!(divide(U512::ZERO, &claims), [U256::ZERO; 2]);
        assert_eq!(divide(U512::from(9), &[wide(10)]), [wide(9)], "a fee on the transfer");
        assert_eq!(divide(U512::from(10), &[wide(10), wide(10)]), [wide(5); 2]);
    }

    #[test]
    fn what_was_sent_away_in_the_same_block_is_added_back() {
        assert_eq!(arrived(wide(100), wide(30), U512::from(100)), U512::from(30));
        assert_eq!(arrived(wide(100), wide(30), U512::ZERO), U512::ZERO);
        assert_eq!(arrived(U256::ZERO, U256::MAX, U512::ZERO), U512::from(U256::MAX));
    }

    proptest! {
        #[test]
        fn no_more_is_given_than_arrived_and_nothing_is_lost(
            arrived: u128,
            claims in prop::collection::vec(any::<[u8; 32]>().prop_map(U256::from_be_bytes), 1..9),
        ) {
            let sum = claims.iter().fold(U512::ZERO, |sum, claim| sum + U512::from(*claim));
            let given = divide(U512::from(arrived), &claims);
            let total = given.iter().fold(U512::ZERO, |sum, part| sum + U512::from(*part));
            prop_assert_eq!(total, sum.min(U512::from(arrived)));
            prop_assert!(given.iter().zip(&claims).all(|(given, claim)| given <= claim));
        }
    }
}
