//! Accounts of the network, several at one slot.

use std::collections::BTreeMap;

use chain_core::{Address, Amount, AssetId, NodeError};
use chain_solana::{
    MintFacts, TOKEN_PROGRAM, read_mint, read_nonce, read_token_balance, token_account,
};
use serde_json::json;

use super::SolanaNode;
use super::wire::{At, WireAccount};

/// The most accounts that one request may ask for.
const ACCOUNTS_MAX: usize = 100;

/// The program that owns wallets and nonce accounts.
const SYSTEM_PROGRAM: &str = "11111111111111111111111111111111";

/// Accounts by address; those that do not exist are `None`.
pub(super) struct Accounts(BTreeMap<String, Option<WireAccount>>);

impl SolanaNode {
    /// Looks at a mint that is to be registered.
    ///
    /// # Errors
    /// [`NodeError::NotAvailable`] when it is absent or no mint of the SPL Token program; mints of
    /// Token-2022 are refused.
    pub async fn mint(&self, asset: &AssetId) -> Result<MintFacts, NodeError> {
        let mint = asset.token().filter(|_| asset.chain() == &self.chain);
        let mint = mint.ok_or_else(|| missing(format!("{asset} is no token of this network")))?;
        self.accounts(vec![mint.to_owned()]).await?.mint(mint)
    }

    pub(super) async fn read_balances(
        &self,
        asset: &AssetId,
        addresses: &[Address],
    ) -> Result<BTreeMap<String, Amount>, NodeError> {
        let mut balances = BTreeMap::new();
        for owners in addresses.chunks(ACCOUNTS_MAX) {
            let texts = owners.iter().map(|owner| holder(owner, asset));
            let accounts = self.accounts(texts.collect::<Result<_, _>>()?).await?;
            for owner in owners {
                balances.insert(owner.to_string(), accounts.balance(owner, asset)?);
            }
        }
        Ok(balances)
    }

    /// Accounts at the newest confirmed slot, all at the same one.
    pub(super) async fn accounts(&self, mut texts: Vec<String>) -> Result<Accounts, NodeError> {
        texts.sort_unstable();
        texts.dedup();
        let params = json!([texts, { "encoding": "base64", "commitment": "confirmed" }]);
        let answer: At<Vec<Option<WireAccount>>> =
            self.rpc.call("getMultipleAccounts", params).await?;
        if answer.value.len() == texts.len() {
            Ok(Accounts(texts.into_iter().zip(answer.value).collect()))
        } else {
            Err(NodeError::Malformed("getMultipleAccounts: another number".to_owned()))
        }
    }
}

impl Accounts {
    /// Lamports in an account, none where there is no account.
    pub(super) fn lamports(&self, address: &str) -> Amount {
        self.get(address).map_or(Amount::ZERO, |account| Amount::from(account.lamports))
    }

    /// What `owner` holds of `asset`.
    pub(super) fn balance(&self, owner: &Address, asset: &AssetId) -> Result<Amount, NodeError> {
        match asset.token() {
            None => Ok(self.lamports(owner.as_str())),
            Some(mint) => Ok(self.tokens(owner, asset, mint)?.unwrap_or(Amount::ZERO)),
        }
    }

    /// True when `owner` has no token account for `asset` yet.
    pub(super) fn lacks_token_account(
        &self,
        owner: &Address,
        asset: &AssetId,
        mint: &str,
    ) -> Result<bool, NodeError> {
        Ok(self.tokens(owner, asset, mint)?.is_none())
    }

    /// Refuses a recipient that exists and belongs to a program, such as a mint.
    pub(super) fn must_be_wallet(&self, address: &Address) -> Result<(), NodeError> {
        match self.get(address.as_str()) {
            Some(account) if account.owner != SYSTEM_PROGRAM => {
                Err(missing(format!("{address} is an account of {}, no wallet", account.owner)))
            }
            _ => Ok(()),
        }
    }

    /// A mint of the SPL Token program.
    pub(super) fn mint(&self, mint: &str) -> Result<MintFacts, NodeError> {
        let account = self.get(mint).ok_or_else(|| missing(format!("there is no mint {mint}")))?;
        if account.owner != TOKEN_PROGRAM {
            return Err(missing(format!("{mint} belongs to {}, not to SPL Token", account.owner)));
        }
        read_mint(&account.data()?).map_err(|error| missing(format!("{mint}: {error}")))
    }

    /// The value of the nonce account `nonce`, which `authority` must rule.
    pub(super) fn nonce(&self, nonce: &str, authority: &Address) -> Result<String, NodeError> {
        let account =
            self.get(nonce).ok_or_else(|| missing(format!("there is no nonce account {nonce}")))?;
        let facts = read_nonce(&account.data()?)
            .ok()
            .filter(|_| account.owner == SYSTEM_PROGRAM)
            .filter(|facts| facts.authority == authority.as_str());
        let facts = facts.ok_or_else(|| {
            missing(format!("{nonce} is no durable nonce account ruled by {authority}"))
        })?;
        Ok(facts.value)
    }

    /// `None` where there is no token account; an error where something else is in its place.
    fn tokens(
        &self,
        owner: &Address,
        asset: &AssetId,
        mint: &str,
    ) -> Result<Option<Amount>, NodeError> {
        let text = holder(owner, asset)?;
        let Some(account) = self.get(&text) else { return Ok(None) };
        let data = account.data()?;
        // Anybody may send lamports to the address before the account is created.
        if account.owner == SYSTEM_PROGRAM && data.is_empty() {
            return Ok(None);
        }
        let balance = read_token_balance(&data, owner.as_str(), mint)
            .ok()
            .filter(|_| account.owner == TOKEN_PROGRAM);
        let broken = || missing(format!("{text} is not {owner}'s token account for {mint}"));
        balance.map(Some).ok_or_else(broken)
    }

    fn get(&self, address: &str) -> Option<&WireAccount> {
        self.0.get(address)?.as_ref()
    }
}

/// The account that holds `owner`'s `asset`: the wallet itself, or its associated token account.
pub(super) fn holder(owner: &Address, asset: &AssetId) -> Result<String, NodeError> {
    if asset.is_native() {
        return Ok(owner.to_string());
    }
    let account = token_account(owner, asset);
    account.map(|account| account.to_string()).map_err(|error| missing(error.to_string()))
}

fn missing(reason: String) -> NodeError {
    NodeError::NotAvailable(reason)
}
