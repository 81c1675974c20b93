//! Opening accounts, reading them, and changing what they may do.

use std::collections::HashMap;

use api_store::Tx;

use crate::account::{CLOSED, FROZEN};
use crate::book::Standing;
use crate::resident::TailView;
use crate::{
    Account, AccountId, Balance, Floor, Ledger, LedgerError, NewAccount, TenantId, Totals,
    VelocityLimit, repo,
};

const CODE_BYTES_MAX: usize = 256;

impl Ledger {
    /// Opens the account, or finds it when it was opened before with the same properties.
    ///
    /// # Errors
    /// [`LedgerError::AccountConflict`] when it has another side, floor, history, owner or external
    /// id;
    /// [`LedgerError::AccountText`]; [`LedgerError::Store`].
    pub async fn open_account(
        &self,
        tx: &mut Tx,
        new: &NewAccount,
    ) -> Result<AccountId, LedgerError> {
        Ok(self.open_or_find_account(tx, new).await?.0)
    }

    /// The same, and whether it was opened now. Of two that open the same account at the same time one is
    /// told so.
    ///
    /// # Errors
    /// As [`Ledger::open_account`].
    pub async fn open_or_find_account(
        &self,
        tx: &mut Tx,
        new: &NewAccount,
    ) -> Result<(AccountId, bool), LedgerError> {
        let texts = [Some(&new.code), Some(&new.asset), new.external_id.as_ref()];
        if !texts.into_iter().flatten().all(|text| is_name(text)) {
            return Err(LedgerError::AccountText);
        }
        let now = self.now().as_microsecond();
        if let Some(id) = repo::insert_account(tx, new, now).await? {
            return Ok((id, true));
        }
        let found = self.find_account(tx, new.tenant, &new.code, &new.asset).await?;
        let conflict = || LedgerError::AccountConflict(new.code.clone());
        let (account, _) = found.ok_or_else(conflict)?;
        let same = account.side == new.side
            && account.floor == new.floor
            && account.history == new.history
            && account.for_clients == new.for_clients
            && account.external_id == new.external_id;
        if same { Ok((account.id, false)) } else { Err(conflict()) }
    }

    /// The account and its balance now.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn account(
        &self,
        tx: &mut Tx,
        id: AccountId,
    ) -> Result<Option<(Account, Balance)>, LedgerError> {
        Ok(self.balances(tx, &[id], &mut TailView::default()).await?.pop())
    }

    /// The account at this place in a tenant's chart, and its balance now.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn find_account(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        code: &str,
        asset: &str,
    ) -> Result<Option<(Account, Balance)>, LedgerError> {
        match repo::account_by_code(tx, tenant, code, asset).await? {
            Some(id) => self.account(tx, id).await,
            None => Ok(None),
        }
    }

    /// Up to `limit` accounts at `code` or below it (all for the empty code) with their balances,
    /// ordered by code and asset, after the code and asset in `after` (`("", "")` to begin).
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn accounts(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        code: &str,
        after: (&str, &str),
        limit: u32,
    ) -> Result<Vec<(Account, Balance)>, LedgerError> {
        let ids = repo::accounts_under(tx, tenant, code, after, limit).await?;
        self.balances(tx, &ids, &mut TailView::default()).await
    }

    /// Up to `limit` of the tenant's accounts with this external id, the oldest first, after the account
    /// `after` (number 0 to begin).
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn accounts_by_external_id(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        external_id: &str,
        after: AccountId,
        limit: u32,
    ) -> Result<Vec<(Account, Balance)>, LedgerError> {
        let ids = repo::accounts_by_external_id(tx, tenant, external_id, after, limit).await?;
        self.balances(tx, &ids, &mut TailView::default()).await
    }

    /// These accounts and their balances now, in the order of `ids`.
    pub(crate) async fn balances(
        &self,
        tx: &mut Tx,
        ids: &[AccountId],
        view: &mut TailView,
    ) -> Result<Vec<(Account, Balance)>, LedgerError> {
        let standings = self.standings(tx, ids, view).await?;
        let balance = |(account, standing): (Account, Standing)| {
            let side = account.side;
            (account, Balance { side, totals: standing.totals })
        };
        Ok(standings.into_iter().map(balance).collect())
    }

    async fn standings(
        &self,
        tx: &mut Tx,
        ids: &[AccountId],
        view: &mut TailView,
    ) -> Result<Vec<(Account, Standing)>, LedgerError> {
        let tail = self.resident.overlay(tx, ids, view).await?;
        let rows = repo::accounts(tx, ids).await?.into_iter();
        let mut found: HashMap<AccountId, (Account, Standing)> =
            rows.map(|row| (row.0.id, row)).collect();
        let newest = |id: &AccountId| {
            let (account, row) = found.remove(id)?;
            Some((account, tail.get(id).map_or(row, |newer| row.newer(*newer))))
        };
        Ok(ids.iter().filter_map(newest).collect())
    }

    pub(crate) async fn standing(
        &self,
        tx: &mut Tx,
        id: AccountId,
    ) -> Result<(Account, Standing), LedgerError> {
        let mut found = self.standings(tx, &[id], &mut TailView::default()).await?;
        found.pop().ok_or(LedgerError::UnknownAccount)
    }

    /// Refuses new movements on the account, or allows them again. Pending transfers can still be
    /// ended. False when it was so already.
    ///
    /// # Errors
    /// [`LedgerError::UnknownAccount`], [`LedgerError::Store`].
    pub async fn set_frozen(
        &self,
        tx: &mut Tx,
        id: AccountId,
        frozen: bool,
    ) -> Result<bool, LedgerError> {
        let (set, clear) = if frozen { (FROZEN, 0) } else { (0, FROZEN) };
        repo::change_flags(tx, id, set, clear).await
    }

    /// Closes an account that is empty, for ever. False when it was closed already.
    ///
    /// # Errors
    /// [`LedgerError::NotEmpty`], [`LedgerError::UnknownAccount`], [`LedgerError::Store`].
    pub async fn close_account(&self, tx: &mut Tx, id: AccountId) -> Result<bool, LedgerError> {
        let mut locked = self.resident.lock_shared(tx, &[id]).await?;
        let Totals { debits_posted, credits_posted, debits_pending, credits_pending } =
            locked.pop().ok_or(LedgerError::UnknownAccount)?.totals;
        if debits_posted != credits_posted || debits_pending != 0 || credits_pending != 0 {
            return Err(LedgerError::NotEmpty);
        }
        repo::change_flags(tx, id, CLOSED, 0).await
    }

    /// Sets how far down the account may go from now on. It may be below that already; then nothing
    /// more can leave it.
    ///
    /// # Errors
    /// [`LedgerError::UnknownAccount`], [`LedgerError::Store`].
    pub async fn set_floor(
        &self,
        tx: &mut Tx,
        id: AccountId,
        floor: Floor,
    ) -> Result<(), LedgerError> {
        repo::set_floor(tx, id, floor).await
    }

    /// Sets how much may leave the account within a window; one limit for each length of window.
    ///
    /// # Errors
    /// [`LedgerError::NoHistory`] when the account keeps none, [`LedgerError::UnknownAccount`],
    /// [`LedgerError::Store`].
    pub async fn set_limit(
        &self,
        tx: &mut Tx,
        id: AccountId,
        limit: &VelocityLimit,
    ) -> Result<(), LedgerError> {
        let (account, _) = self.standing(tx, id).await?;
        if !account.history {
            return Err(LedgerError::NoHistory);
        }
        repo::set_limit(tx, id, limit).await
    }

    /// The limits of an account.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn limits(
        &self,
        tx: &mut Tx,
        id: AccountId,
    ) -> Result<Vec<VelocityLimit>, LedgerError> {
        repo::limits(tx, id).await
    }

    /// How many legs were read so far, by this ledger and its clones, to see what is used up of limits:
    /// mostly those that came since the account's last posting, because the sums are in memory.
    #[must_use]
    pub fn legs_read_for_limits(&self) -> u64 {
        self.resident.legs_read()
    }

    /// Removes the limit for windows of this length.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn remove_limit(
        &self,
        tx: &mut Tx,
        id: AccountId,
        window_secs: u32,
    ) -> Result<(), LedgerError> {
        repo::remove_limit(tx, id, window_secs).await
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= CODE_BYTES_MAX && !text.chars().any(char::is_control)
}
