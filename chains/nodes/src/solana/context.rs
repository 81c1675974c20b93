//! What `build` needs to know of the world.

use chain_core::{
    Action, Amount, Context, ContextRequest, FeeTier, KeyedAddress, NodeError, Payment,
    SolanaContext,
};
use chain_solana::{NONCE_ACCOUNT_BYTES, TOKEN_ACCOUNT_BYTES, compute_unit_limit};
use serde_json::json;

use super::SolanaNode;
use super::accounts::{Accounts, holder};
use super::wire::{At, LatestBlockhash, PrioritizationFee};

/// What a payment finds at its two ends.
struct Ends {
    balance: Amount,
    recipient_is_new: bool,
    decimals: Option<u8>,
}

impl SolanaNode {
    pub(super) async fn read_context(
        &self,
        request: &ContextRequest,
    ) -> Result<Context, NodeError> {
        let payer = request.signers.first();
        let payer = payer.ok_or_else(|| refused("a transaction has a fee payer"))?;
        let owner = request.signers.get(1).unwrap_or(payer);
        let wanted = accounts_of(request, payer, owner)?;
        let rent = self.rent(created_bytes(&request.action)).await?;
        let unit_price = self.unit_price(request.tier, &wanted).await?;
        let accounts = self.accounts(wanted).await?;
        let payer_balance = accounts.lamports(payer.address.as_str());
        let ends = match payment(&request.action) {
            Some(payment) => ends(&accounts, payment, owner, rent)?,
            None => Ends { balance: payer_balance, recipient_is_new: false, decimals: None },
        };
        let nonce = match &request.nonce_account {
            Some(account) => {
                let value = accounts.nonce(account.as_str(), &payer.address)?;
                Some((account.clone(), value))
            }
            None => None,
        };
        // A durable nonce takes the place of the blockhash.
        let recent_blockhash = match nonce {
            Some(_) => String::new(),
            None => self.recent_blockhash().await?,
        };
        Ok(Context::Solana(SolanaContext {
            fee_payer: payer.clone(),
            owner: owner.clone(),
            nonce,
            recent_blockhash,
            compute_unit_limit: compute_unit_limit(&request.action),
            compute_unit_price: unit_price,
            fee_payer_balance: payer_balance,
            balance: ends.balance,
            rent_exempt_lamports: rent,
            recipient_is_new: ends.recipient_is_new,
            token_decimals: ends.decimals,
        }))
    }

    async fn rent(&self, bytes: u64) -> Result<Amount, NodeError> {
        let method = "getMinimumBalanceForRentExemption";
        let lamports: u64 = self.rpc.call(method, json!([bytes])).await?;
        Ok(Amount::from(lamports))
    }

    async fn recent_blockhash(&self) -> Result<String, NodeError> {
        let params = json!([{ "commitment": "confirmed" }]);
        let answer: At<LatestBlockhash> = self.rpc.call("getLatestBlockhash", params).await?;
        Ok(answer.value.blockhash)
    }

    /// Micro-lamports for a compute unit: a quantile of what was paid lately for these accounts,
    /// never over the configured cap.
    async fn unit_price(&self, tier: FeeTier, accounts: &[String]) -> Result<u64, NodeError> {
        let fees: Vec<PrioritizationFee> =
            self.rpc.call("getRecentPrioritizationFees", json!([accounts])).await?;
        let paid = fees.into_iter().map(|fee| fee.prioritization_fee).collect();
        Ok(quantile(paid, tier).min(self.options.unit_price_max))
    }
}

/// Two, five or nine tenths of what was paid; nothing where nobody paid.
fn quantile(mut paid: Vec<u64>, tier: FeeTier) -> u64 {
    paid.sort_unstable();
    let tenths = match tier {
        FeeTier::Slow => 2,
        FeeTier::Normal => 5,
        FeeTier::Fast => 9,
    };
    let index = paid.len().saturating_sub(1).saturating_mul(tenths).div_ceil(10);
    paid.get(index).copied().unwrap_or(0)
}

/// The size of the account that may have to be created.
fn created_bytes(action: &Action) -> u64 {
    match action {
        Action::CreateNonceAccount { .. } => NONCE_ACCOUNT_BYTES,
        _ if payment(action).is_some_and(|payment| !payment.asset.is_native()) => {
            TOKEN_ACCOUNT_BYTES
        }
        _ => 0,
    }
}

/// The one payment that a transaction may carry; `build` refuses more.
fn payment(action: &Action) -> Option<&Payment> {
    match action {
        Action::Pay { payments } => payments.first(),
        _ => None,
    }
}

fn accounts_of(
    request: &ContextRequest,
    payer: &KeyedAddress,
    owner: &KeyedAddress,
) -> Result<Vec<String>, NodeError> {
    let mut wanted = vec![payer.address.to_string(), owner.address.to_string()];
    wanted.extend(request.nonce_account.as_ref().map(ToString::to_string));
    if let Some(Payment { to, asset, .. }) = payment(&request.action) {
        wanted.push(to.to_string());
        wanted.extend([holder(&owner.address, asset)?, holder(to, asset)?]);
        wanted.extend(asset.token().map(ToOwned::to_owned));
    }
    Ok(wanted)
}

fn ends(
    accounts: &Accounts,
    payment: &Payment,
    owner: &KeyedAddress,
    rent: Amount,
) -> Result<Ends, NodeError> {
    let Payment { to, asset, .. } = payment;
    accounts.must_be_wallet(to)?;
    let balance = accounts.balance(&owner.address, asset)?;
    match asset.token() {
        None => {
            let recipient_is_new = accounts.lamports(to.as_str()) < rent;
            Ok(Ends { balance, recipient_is_new, decimals: None })
        }
        Some(mint) => Ok(Ends {
            balance,
            recipient_is_new: accounts.lacks_token_account(to, asset, mint)?,
            decimals: Some(accounts.mint(mint)?.decimals),
        }),
    }
}

fn refused(reason: &str) -> NodeError {
    NodeError::Refused(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faster_pays_more() {
        let paid = vec![50, 10, 40, 20, 30, 60, 70, 80, 90, 100, 0];
        let price = |tier| quantile(paid.clone(), tier);
        assert_eq!(price(FeeTier::Slow), 20);
        assert_eq!(price(FeeTier::Normal), 50);
        assert_eq!(price(FeeTier::Fast), 90);
        assert_eq!(quantile(vec![7], FeeTier::Slow), 7);
        assert_eq!(quantile(vec![], FeeTier::Fast), 0);
    }
}
