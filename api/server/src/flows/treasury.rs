//! The operator's own addresses: account 0 of each network.

use chain_core::{Branch, ChainFamily, KeyPath, KeyScheme, KeyedAddress};
use signer_protocol::{AddressRequest, Signer as _};
use uuid::Uuid;

use crate::app::{App, now_ms};
use crate::chains::Chain;
use crate::error::{Code, Error};
use crate::repo::addresses::{self, Issued};
use crate::repo::blocks;

/// The scheme of a network's treasury, and of deposit addresses where none is asked for.
pub(crate) const fn default_scheme(family: ChainFamily) -> KeyScheme {
    match family {
        ChainFamily::Bitcoin => KeyScheme::Bip84,
        ChainFamily::Evm => KeyScheme::Bip44Evm,
        ChainFamily::Solana => KeyScheme::Slip10Solana,
    }
}

/// The address that pays out, pays fees, and receives sweeps.
pub(crate) async fn treasury(app: &App, chain: &Chain) -> Result<KeyedAddress, Error> {
    let scheme = default_scheme(chain.family());
    issue(app, chain, None, key(scheme, KeyPath::TREASURY, Branch::External, 0)?).await
}

/// A new address for change (Bitcoin).
pub(crate) async fn change(app: &App, chain: &Chain) -> Result<KeyedAddress, Error> {
    let mut tx = app.db.read().await?;
    let issued = addresses::of_chain(&mut tx, &chain.config.name).await?;
    drop(tx);
    let used = issued.iter().filter(|issued| issued.key.branch() == Branch::Change).count();
    let index = u32::try_from(used).map_err(Error::internal)?;
    issue(app, chain, None, key(KeyScheme::Bip84, KeyPath::TREASURY, Branch::Change, index)?).await
}

pub(crate) fn key(
    scheme: KeyScheme,
    account: u32,
    branch: Branch,
    index: u32,
) -> Result<KeyPath, Error> {
    KeyPath::new(scheme, account, branch, index).map_err(Error::internal)
}

/// The address of a key, from the table or else from the signer, in the table before it is shown to
/// anybody.
pub(crate) async fn issue(
    app: &App,
    chain: &Chain,
    owner: Option<(Uuid, Uuid)>,
    key: KeyPath,
) -> Result<KeyedAddress, Error> {
    let mut tx = app.db.read().await?;
    let known = addresses::by_key(&mut tx, &chain.config.name, key).await?;
    drop(tx);
    match known {
        Some(known) => Ok(known.keyed(&chain.config.id)?),
        None => add(app, chain, owner, key).await.map(|(address, _)| address),
    }
}

/// The address of a key that nobody has yet; `None` when another caller was quicker.
pub(crate) async fn issue_new(
    app: &App,
    chain: &Chain,
    owner: (Uuid, Uuid),
    key: KeyPath,
) -> Result<Option<KeyedAddress>, Error> {
    let (address, is_new) = add(app, chain, Some(owner), key).await?;
    Ok(is_new.then_some(address))
}

/// The key's address from the signer, and whether the table did not have it.
async fn add(
    app: &App,
    chain: &Chain,
    owner: Option<(Uuid, Uuid)>,
    key: KeyPath,
) -> Result<(KeyedAddress, bool), Error> {
    // Scanning begins at the tip: what is paid to an address before that would never be seen.
    let mut tx = app.db.read().await?;
    if blocks::newest(&mut tx, &chain.config.name).await?.is_none() {
        let detail = format!("{} is not scanned yet; try again in a moment", chain.config.name);
        return Err(Error::refuse(Code::Unavailable, detail));
    }
    drop(tx);
    let request = AddressRequest { chain: chain.config.id.clone(), key };
    let address = chain.check_address(app.signer.address(&request).await?.as_str())?;
    let issued = Issued {
        tenant: owner.map(|(tenant, _)| tenant),
        customer: owner.map(|(_, customer)| customer),
        chain: chain.config.name.clone(),
        address: address.as_str().to_owned(),
        key,
        created_at: now_ms(),
    };
    let mut tx = app.db.begin().await?;
    let is_new = addresses::insert(&mut tx, &issued).await?;
    tx.commit().await?;
    Ok((KeyedAddress { key, address }, is_new))
}
