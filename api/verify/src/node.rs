//! `--node`: the one place of the verifier that opens a connection. It asks a node of the reader's
//! choice whether an anchor is on the chain, over plain HTTP, on the reader's own machine or through
//! a tunnel of the reader's own.

use std::str::FromStr;
use std::time::Duration;

use api_verify::anchor::{AnchorReport, Status};
use api_verify::receipt::Evidence;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Which protocol a node speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Evm,
    Bitcoin,
    Solana,
}

/// A node as given on the command line: `bitcoin=http://user:password@127.0.0.1:8332`.
#[derive(Clone, Debug)]
pub(crate) struct NodeUrl {
    family: Family,
    url: String,
    /// The value of an `Authorization` header.
    authorization: Option<String>,
}

/// Why an anchor is not confirmed.
pub(crate) enum NodeAnswer {
    /// The node says that it is not on the chain.
    Denied(String),
    /// The node did not say.
    Failed(String),
}

impl FromStr for NodeUrl {
    type Err = String;

    fn from_str(argument: &str) -> Result<Self, String> {
        let (family, url) = argument.split_once('=').ok_or("it is not <family>=<url>")?;
        let family = match family {
            "evm" => Family::Evm,
            "bitcoin" => Family::Bitcoin,
            "solana" => Family::Solana,
            _ => return Err("the family is evm, bitcoin or solana".to_owned()),
        };
        let rest = url.strip_prefix("http://").ok_or("only http:// is spoken")?;
        Ok(match rest.split_once('@') {
            Some((user, host)) => Self {
                family,
                url: format!("http://{host}"),
                authorization: Some(format!("Basic {}", STANDARD.encode(user))),
            },
            None => Self { family, url: url.to_owned(), authorization: None },
        })
    }
}

impl NodeUrl {
    pub(crate) const fn serves(&self, evidence: &Evidence) -> bool {
        matches!(
            (self.family, evidence),
            (Family::Evm, Evidence::Evm { .. })
                | (Family::Bitcoin, Evidence::Bitcoin { .. })
                | (Family::Solana, Evidence::Solana { .. })
        )
    }

    /// Asks the node about an anchor and raises its status to proved.
    pub(crate) fn confirm(
        &self,
        evidence: &Evidence,
        found: &mut AnchorReport,
    ) -> Result<(), NodeAnswer> {
        match evidence {
            Evidence::Evm { chain, .. } => self.confirm_evm(chain, found)?,
            Evidence::Bitcoin { chain, .. } => self.confirm_bitcoin(chain, found)?,
            Evidence::Solana { signature, transaction, slot, .. } => {
                self.confirm_solana(signature, transaction, *slot, found)?;
            }
        }
        found.status = Status::Proved;
        found.trusted_by = Some("the node that you named".to_owned());
        Ok(())
    }

    fn confirm_evm(&self, chain: &str, found: &AnchorReport) -> Result<(), NodeAnswer> {
        let id = self.call("eth_chainId", json!([]))?;
        let id =
            id.as_str().and_then(|id| u64::from_str_radix(id.trim_start_matches("0x"), 16).ok());
        if id.map(|id| format!("eip155:{id}")).as_deref() != Some(chain) {
            return Err(failed("it follows another chain"));
        }
        let height = format!("0x{:x}", found.height.unwrap_or_default());
        let block = self.call("eth_getBlockByNumber", json!([height, false]))?;
        if block["hash"].as_str() == found.block.as_deref() {
            Ok(())
        } else {
            Err(NodeAnswer::Denied(
                "the node has another block, or none, at that height".to_owned(),
            ))
        }
    }

    fn confirm_bitcoin(&self, chain: &str, found: &mut AnchorReport) -> Result<(), NodeAnswer> {
        let genesis = self.call("getblockhash", json!([0]))?;
        let reference = chain.strip_prefix("bip122:").unwrap_or_default();
        let same = genesis.as_str().and_then(|hash| hash.get(..32)) == Some(reference);
        if !same {
            return Err(failed("it follows another chain"));
        }
        let header = self.call("getblockheader", json!([found.block]))?;
        if header["confirmations"].as_i64().is_some_and(|confirmations| confirmations > 0) {
            found.height = header["height"].as_u64();
            Ok(())
        } else {
            Err(NodeAnswer::Denied("the block is not on the node's best chain".to_owned()))
        }
    }

    fn confirm_solana(
        &self,
        signature: &str,
        transaction: &str,
        slot: u64,
        found: &mut AnchorReport,
    ) -> Result<(), NodeAnswer> {
        let options = json!({
            "encoding": "base64", "commitment": "finalized", "maxSupportedTransactionVersion": 0,
        });
        let answer = self.call("getTransaction", json!([signature, options]))?;
        let bytes = answer["transaction"][0].as_str().and_then(|text| STANDARD.decode(text).ok());
        let wanted = hex::decode(transaction.trim_start_matches("0x")).ok();
        if bytes.is_none() || bytes != wanted || !answer["meta"]["err"].is_null() {
            return Err(NodeAnswer::Denied(
                "the node has no such successful transaction".to_owned(),
            ));
        }
        if answer["slot"].as_u64() != Some(slot) {
            return Err(NodeAnswer::Denied("the transaction is in another slot".to_owned()));
        }
        found.height = Some(slot);
        found.time = answer["blockTime"].as_u64();
        Ok(())
    }

    fn call(&self, method: &str, parameters: Value) -> Result<Value, NodeAnswer> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .build()
            .into();
        let mut post = agent.post(&self.url).header("content-type", "application/json");
        if let Some(authorization) = &self.authorization {
            post = post.header("authorization", authorization);
        }
        let mut response = post.send(request.to_string()).map_err(failed)?;
        let body = response.body_mut().read_to_string().map_err(failed)?;
        let mut answer: Value = serde_json::from_str(&body).map_err(failed)?;
        if answer["error"].is_null() && !answer["result"].is_null() {
            return Ok(answer["result"].take());
        }
        if answer.get("result").is_some() && answer["error"].is_null() {
            return Err(NodeAnswer::Denied("the node does not know it".to_owned()));
        }
        Err(failed(&answer["error"]["message"]))
    }
}

fn failed(reason: impl std::fmt::Display) -> NodeAnswer {
    NodeAnswer::Failed(reason.to_string())
}
