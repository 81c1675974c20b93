//! Do the books equal the chains? Two independent sources: the ledger's `custody` accounts, and what
//! the nodes say our addresses hold.

use std::collections::BTreeMap;

use api_ledger::{Account, Balance, Side, TenantId, Totals};
use api_store::Tx;
use chain_core::{Action, Address, Amount, Node as _, NodeError, TxStatus};
use serde::Serialize;

use crate::app::App;
use crate::chains::Chain;
use crate::config::AssetConfig;
use crate::error::Error;
use crate::flows::executor;
use crate::repo::{addresses, deposits, intents, tenants};

/// What was found for one asset, all in minor units.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Finding {
    /// The asset's code.
    pub asset: String,
    /// The two sides; absent when they could not be compared.
    #[serde(flatten)]
    pub sums: Option<Sums>,
    /// True when chain and books agree once what is on its way is counted.
    pub agrees: bool,
    /// True when customers' claims are covered by what the chain holds.
    pub covered: bool,
    /// Why the asset could not be compared: there is more of it than 127 bits, which leave room for a sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What the chain says, and what the books say.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Sums {
    /// What the chain says that our addresses hold.
    pub on_chain: String,
    /// The sum of the `custody` accounts of all tenants.
    pub in_books: String,
    /// Deposits that the chain has and the books do not yet.
    pub not_yet_credited: String,
    /// Payouts and fees that the chain has taken and the books have not yet.
    pub not_yet_settled: String,
    /// What customers can claim.
    pub liabilities: String,
}

/// Compares every chain asset. Run it while little is moving: what moves during the run shows as a
/// difference, and is gone at the next.
///
/// # Errors
/// [`Error`] when a node does not answer: no finding is better than a wrong one.
pub(crate) async fn run(app: &App) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for chain in app.chains.iter() {
        let in_flight = in_flight(app, chain).await?;
        for asset in app.chains.assets_of(chain) {
            let finding = match compare(app, chain, asset, &in_flight).await {
                Err(Incomparable::TooLarge(problem)) => Finding {
                    asset: asset.code.clone(),
                    sums: None,
                    agrees: false,
                    covered: false,
                    problem: Some(problem),
                },
                Err(Incomparable::Failed(error)) => return Err(error),
                Ok(finding) => finding,
            };
            findings.push(finding);
        }
    }
    let disagreements =
        findings.iter().filter(|finding| !finding.agrees || !finding.covered).count();
    metrics::gauge!("roadstead_reconcile_disagreements")
        .set(u32::try_from(disagreements).map_or(f64::MAX, f64::from));
    metrics::counter!("roadstead_reconcile_runs_total").increment(1);
    Ok(findings)
}

/// By asset code: what has left our addresses in blocks, and the books do not know yet.
async fn in_flight(app: &App, chain: &Chain) -> Result<BTreeMap<String, Amount>, Error> {
    let mut tx = app.db.read().await?;
    let unsettled = intents::sent_unsettled(&mut tx, &chain.config.name).await?;
    drop(tx);
    let native = app.chains.native(chain)?.code.clone();
    let mut sums: BTreeMap<String, Amount> = BTreeMap::new();
    for stored in unsettled {
        for attempt in executor::attempts(app, &stored).await? {
            let TxStatus::Included { success, fee, .. } =
                chain.node().await?.status(&attempt).await?
            else {
                continue;
            };
            add(&mut sums, &native, fee)?;
            if let (true, Action::Pay { payments }, chain_core::Purpose::Withdrawal) =
                (success, &stored.intent.action, stored.intent.purpose)
            {
                for payment in payments {
                    add(
                        &mut sums,
                        app.chains.code_of(&payment.asset).unwrap_or_default(),
                        payment.amount,
                    )?;
                }
            }
        }
    }
    Ok(sums)
}

fn add(sums: &mut BTreeMap<String, Amount>, code: &str, amount: Amount) -> Result<(), Error> {
    let sum = sums.entry(code.to_owned()).or_default();
    *sum = sum.checked_add(amount)?;
    Ok(())
}

/// Why an asset could not be compared.
#[derive(Debug)]
enum Incomparable {
    /// There is more than the books can count: this asset alone has no finding.
    TooLarge(String),
    /// No asset has one.
    Failed(Error),
}

impl Incomparable {
    fn past_127_bits(what: &str) -> Self {
        Self::TooLarge(format!("{what}: more than 127 bits"))
    }
}

impl<E: Into<Error>> From<E> for Incomparable {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

async fn compare(
    app: &App,
    chain: &Chain,
    asset: &AssetConfig,
    in_flight: &BTreeMap<String, Amount>,
) -> Result<Finding, Incomparable> {
    let on_chain = held(app, chain, asset).await?;
    let mut tx = app.db.read().await?;
    let books = net(app, &mut tx, "custody", &asset.code, Side::Debit).await?;
    let claims = net(app, &mut tx, "customer", &asset.code, Side::Credit).await?;
    let waiting = deposits::uncredited(&mut tx, &chain.config.name, &asset.code).await?;
    drop(tx);
    let mut not_yet_credited = Amount::ZERO;
    for amount in waiting {
        let sum = amount.parse().and_then(|amount| not_yet_credited.checked_add(amount));
        not_yet_credited = sum.map_err(|error| {
            Incomparable::TooLarge(format!("{amount} waits to be credited: {error}"))
        })?;
    }
    let not_yet_settled = in_flight.get(&asset.code).copied().unwrap_or_default();
    // chain = books + not yet credited - not yet settled, without negative numbers on either side
    let left = signed_sum(&[(on_chain, false), (not_yet_settled, false), (not_yet_credited, true)]);
    let left = left.ok_or_else(|| Incomparable::past_127_bits("what the chain holds"))?;
    Ok(Finding {
        asset: asset.code.clone(),
        sums: Some(Sums {
            on_chain: on_chain.to_string(),
            in_books: books.to_string(),
            not_yet_credited: not_yet_credited.to_string(),
            not_yet_settled: not_yet_settled.to_string(),
            liabilities: claims.to_string(),
        }),
        problem: None,
        agrees: left == books,
        covered: covered(on_chain, claims),
    })
}

/// The posted balance, on its normal side, of a part of the chart over all tenants.
async fn net(
    app: &App,
    tx: &mut Tx,
    code: &str,
    asset: &str,
    side: Side,
) -> Result<i128, Incomparable> {
    let mut sum = 0_i128;
    for tenant in tenants::all(tx).await? {
        let add = |account: &Account, balance: &Balance| {
            if account.asset == asset {
                sum = posted(balance, side)
                    .and_then(|posted| sum.checked_add(posted))
                    .ok_or_else(|| Incomparable::past_127_bits(&format!("the books of {code}")))?;
            }
            Ok::<_, Incomparable>(())
        };
        app.ledger.each_account(tx, TenantId::new(tenant), code, add).await?;
    }
    Ok(sum)
}

/// What was posted, positive on `side`; `None` past 127 bits.
fn posted(balance: &Balance, side: Side) -> Option<i128> {
    let Totals { debits_posted, credits_posted, .. } = balance.totals;
    let (plus, minus) = match side {
        Side::Debit => (debits_posted, credits_posted),
        Side::Credit => (credits_posted, debits_posted),
    };
    let difference = i128::try_from(plus.abs_diff(minus)).ok()?;
    if plus < minus { difference.checked_neg() } else { Some(difference) }
}

/// The sum of the terms, those marked true subtracted; `None` past 127 bits.
fn signed_sum(terms: &[(Amount, bool)]) -> Option<i128> {
    terms.iter().try_fold(0_i128, |sum, (amount, negative)| {
        let amount = i128::try_from(amount.minor()).ok()?;
        if *negative { sum.checked_sub(amount) } else { sum.checked_add(amount) }
    })
}

fn covered(on_chain: Amount, claims: i128) -> bool {
    u128::try_from(claims).is_ok_and(|claims| claims <= on_chain.minor())
}

async fn held(app: &App, chain: &Chain, asset: &AssetConfig) -> Result<Amount, Incomparable> {
    let mut tx = app.db.read().await?;
    let issued = addresses::of_chain(&mut tx, &chain.config.name).await?;
    drop(tx);
    let addresses: Vec<Address> = issued
        .iter()
        .map(|issued| Ok(issued.keyed(&chain.config.id)?.address))
        .collect::<Result<_, Error>>()?;
    let balances = match chain.node().await?.balances(&asset.id, &addresses).await {
        Err(NodeError::TooLarge(what)) => return Err(Incomparable::TooLarge(what)),
        balances => balances?,
    };
    let sum = Amount::checked_sum(balances.into_values());
    sum.map_err(|error| Incomparable::TooLarge(format!("the sum of our addresses: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_posted_is_a_difference_of_128_bits() {
        let posted = |debits_posted, credits_posted, side| {
            let totals = Totals { debits_posted, credits_posted, ..Totals::default() };
            super::posted(&Balance { side, totals }, side)
        };
        // Turnover may be larger than any balance.
        assert_eq!(posted(u128::MAX, u128::MAX, Side::Debit), Some(0));
        assert_eq!(posted(u128::MAX, u128::MAX - 5, Side::Debit), Some(5));
        assert_eq!(posted(u128::MAX, u128::MAX - 5, Side::Credit), Some(-5));
        assert_eq!(posted(i128::MAX.unsigned_abs(), 0, Side::Debit), Some(i128::MAX));
        assert_eq!(posted(1 << 127, 0, Side::Debit), None);
    }
}
