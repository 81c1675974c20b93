use std::collections::BTreeSet;
use std::sync::Arc;

use api_ledger::TenantId;
use api_loans::reminders::Channel;
use api_store::Tx;
use api_webhooks::{Secret, SendError, Vault, VaultError};
use uuid::Uuid;

use crate::channels::{GatewayPort, Port};
use crate::repo::gateways;
use crate::{Care, CareError};

const URL_CHARS_MAX: usize = 2_000;

/// A gateway's row.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) id: Uuid,
    pub(crate) tenant: TenantId,
    pub(crate) channel: Channel,
    pub(crate) url: Option<String>,
    /// Sealed, or as it is: see [`Care::seal_gateways`].
    pub(crate) secret: Vec<u8>,
    pub(crate) sealed: bool,
}

/// A gateway, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Its id, which stands in the path of its receipts.
    pub id: Uuid,
    /// What it carries.
    pub channel: Channel,
    /// Where it is; `None` when it only sends receipts.
    pub url: Option<String>,
}

impl Care {
    /// Registers the tenant's gateway for a channel, in place of the one before. The secret signs
    /// messages and receipts alike and is shown once.
    ///
    /// # Errors
    /// [`CareError::Refused`] for a URL that may not be called; [`CareError::Vault`] where there is
    /// nothing to seal its secret with.
    pub async fn put_gateway(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        channel: Channel,
        url: Option<&str>,
    ) -> Result<(Gateway, Secret), CareError> {
        match (channel, url) {
            (Channel::InApp, _) => return Err(CareError::Refused("the inbox needs no gateway")),
            (Channel::Push | Channel::Sms, None) => {
                return Err(CareError::Refused("the gateway needs a URL"));
            }
            (_, Some(url)) => self.check_url(url)?,
            (Channel::Email, None) => {}
        }
        let secret =
            Secret::generate().ok_or(CareError::Damaged("the system has no randomness"))?;
        let now = self.now_ms();
        let id = gateways::put(tx, tenant, channel, url, now).await?;
        gateways::set_secret(tx, id, self.vault()?.seal(id, &secret)?).await?;
        Ok((Gateway { id, channel, url: url.map(str::to_owned) }, secret))
    }

    fn vault(&self) -> Result<&Vault, CareError> {
        self.ports.vault.as_deref().ok_or(CareError::Vault)
    }

    /// The secret of a gateway.
    pub(crate) fn secret(&self, gateway: &Stored) -> Result<Secret, CareError> {
        if !gateway.sealed {
            return Ok(Secret::from_bytes(gateway.secret.clone()));
        }
        Ok(self.vault()?.open(gateway.id, &gateway.secret)?)
    }

    /// Seals the secrets of gateways that lie in the database as they are, from before they were
    /// sealed; returns how many. To be called at the start; without keys it does nothing.
    ///
    /// # Errors
    /// [`CareError`].
    pub async fn seal_gateways(&self) -> Result<usize, CareError> {
        let Some(vault) = &self.ports.vault else { return Ok(0) };
        let mut tx = self.db.begin().await?;
        let open = gateways::unsealed(&mut tx).await?;
        for one in &open {
            gateways::set_secret(&mut tx, one.id, vault.seal(one.id, &self.secret(one)?)?).await?;
        }
        tx.commit().await?;
        Ok(open.len())
    }

    fn check_url(&self, url: &str) -> Result<(), CareError> {
        if url.chars().count() > URL_CHARS_MAX {
            return Err(CareError::Refused("the URL is too long"));
        }
        let refused = |error| {
            CareError::Refused(match error {
                SendError::NotHttps => "the URL is not https",
                SendError::NotPublic => "the address is not on the public internet",
                SendError::Credentials => "the URL has credentials in it",
                _ => "the URL is not valid",
            })
        };
        self.ports.sender.check_url(url).map(drop).map_err(refused)
    }

    /// The tenant's gateways.
    ///
    /// # Errors
    /// [`CareError::Store`].
    pub async fn gateways(&self, tx: &mut Tx, tenant: TenantId) -> Result<Vec<Gateway>, CareError> {
        let all = gateways::of_tenant(tx, tenant).await?;
        let show = |one: Stored| Gateway { id: one.id, channel: one.channel, url: one.url };
        Ok(all.into_iter().map(show).collect())
    }

    /// Sends nothing more through the tenant's gateway for a channel; receipts still count.
    ///
    /// # Errors
    /// [`CareError::Missing`].
    pub async fn disconnect_gateway(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        channel: Channel,
    ) -> Result<(), CareError> {
        let done = gateways::disconnect(tx, tenant, channel).await?;
        done.then_some(()).ok_or(CareError::Missing("gateway"))
    }

    /// The channels on which the tenant can send now.
    pub(crate) async fn usable(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
    ) -> Result<BTreeSet<Channel>, CareError> {
        let mut usable = BTreeSet::from([Channel::InApp]);
        usable.extend(self.ports.mail.as_ref().map(|_| Channel::Email));
        let all = gateways::of_tenant(tx, tenant).await?;
        usable.extend(all.iter().filter(|one| one.url.is_some()).map(|one| one.channel));
        Ok(usable)
    }

    /// The way out for a channel: the tenant's gateway, or the relay for mail.
    pub(crate) async fn port(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        channel: Channel,
    ) -> Result<Option<Arc<dyn Port>>, CareError> {
        for one in gateways::of_tenant(tx, tenant).await? {
            if let (true, Some(url)) = (one.channel == channel, &one.url) {
                let (sender, url) = (self.ports.sender.clone(), url.clone());
                let secret = self.secret(&one)?;
                return Ok(Some(Arc::new(GatewayPort { sender, url, secret })));
            }
        }
        Ok(self.ports.mail.clone().filter(|_| channel == Channel::Email))
    }
}

impl From<VaultError> for CareError {
    fn from(_: VaultError) -> Self {
        Self::Vault
    }
}
