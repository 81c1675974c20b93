//! A withdrawal: the hold, the row and the audit record in one transaction; the executor does the
//! rest.

use api_store::Tx;
use chain_core::{Action, Amount, ChainFamily, Intent, IntentId, Payment, Purpose};
use uuid::Uuid;

use super::{settle, treasury};
use crate::app::{App, now_ms};
use crate::error::{Code, Error};
use crate::repo::withdrawals::{self, Withdrawal};
use crate::repo::{addresses, customers, intents};

/// What a client asks for, checked for form alone.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) tenant: Uuid,
    pub(crate) customer: Uuid,
    pub(crate) client_id: Option<String>,
    pub(crate) asset: String,
    pub(crate) amount: Amount,
    pub(crate) destination: String,
}

/// Everything about an order that can be known before the database transaction.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    order: Order,
    chain: String,
    intent: Intent,
    signers: Vec<chain_core::KeyedAddress>,
}

/// Checks asset, amount and destination, and finds the treasury that pays.
pub(crate) async fn check(app: &App, order: Order) -> Result<Checked, Error> {
    if order.amount.is_zero() {
        return Err(Code::ZeroAmount.into());
    }
    let asset = app.chains.asset(&order.asset)?;
    let chain = app.chains.with_id(asset.id.chain())?;
    let to = chain.check_address(&order.destination)?;
    refuse_own(app, &chain.config.name, to.as_str()).await?;
    if asset.id.token() == Some(to.as_str().to_lowercase().as_str()) {
        return Err(Error::refuse(
            Code::InvalidAddress,
            "the destination is the token's own contract",
        ));
    }
    let signers = match chain.family() {
        ChainFamily::Bitcoin => Vec::new(),
        ChainFamily::Evm | ChainFamily::Solana => vec![treasury::treasury(app, chain).await?],
    };
    let payment = Payment { to, asset: asset.id.clone(), amount: order.amount };
    chain_families::check_payment(&payment)?;
    let intent = Intent {
        id: IntentId(Uuid::now_v7()),
        chain: chain.config.id.clone(),
        purpose: Purpose::Withdrawal,
        action: Action::Pay { payments: vec![payment] },
        fee_max: chain.config.fee_max,
    };
    Ok(Checked { order, chain: chain.config.name.clone(), intent, signers })
}

/// Money to an address of this system would be a deposit and a withdrawal at once.
async fn refuse_own(app: &App, chain: &str, destination: &str) -> Result<(), Error> {
    let mut tx = app.db.read().await?;
    if addresses::is_issued(&mut tx, chain, destination).await? {
        let detail = "the destination is an address of this system: use POST /v1/transfers instead";
        return Err(Error::refuse(Code::InvalidAddress, detail));
    }
    Ok(())
}

/// Reserves the money and records the decision, in the caller's transaction.
pub(crate) async fn reserve(app: &App, tx: &mut Tx, checked: Checked) -> Result<Withdrawal, Error> {
    let Checked { order, chain, intent, signers } = checked;
    customers::get(tx, order.tenant, order.customer).await?.ok_or(Code::NotFound)?;
    let withdrawal = Withdrawal {
        id: Uuid::now_v7(),
        tenant: order.tenant,
        customer: order.customer,
        client_id: order.client_id,
        intent: intent.id,
        chain,
        asset: order.asset,
        amount: order.amount,
        destination: order.destination,
        created_at: now_ms(),
    };
    intents::insert(tx, &withdrawal.chain, &intent, &signers, withdrawal.created_at).await?;
    withdrawals::insert(tx, &withdrawal).await.map_err(|error| {
        if error.is_unique_violation() {
            Error::refuse(Code::AlreadyExists, "there is a withdrawal with this client_id")
        } else {
            error.into()
        }
    })?;
    app.hold_withdrawal(
        tx,
        withdrawal.id,
        order.tenant,
        order.customer,
        &withdrawal.asset,
        withdrawal.amount,
    )
    .await?;
    let record = settle::withdrawal_record(&withdrawal, "withdrawal.reserved")
        .subject(order.customer.to_string())
        .personal("destination", &withdrawal.destination);
    app.audit.append_in(tx, &record).await?;
    Ok(withdrawal)
}
