use std::io::{self, Write};

use serde_json::{Value, json};
use testnets::{Bitcoin, Evm, Solana};

use crate::state::{Files, Network, State};

/// One line, or one JSON object, on standard output.
pub(crate) fn print(as_json: bool, value: &Value, text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{value}")?
    } else {
        writeln!(out, "{text}")?
    }
    Ok(())
}

/// The error and its causes, on standard error.
pub(crate) fn complain(error: &anyhow::Error) {
    // Without standard error there is nobody to tell.
    let _ = writeln!(io::stderr(), "error: {error:#}");
}

/// A remark that is not part of the answer.
pub(crate) fn note(text: &str) {
    // Without standard error there is nobody to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Which networks run, where, and how far they are.
pub(crate) async fn status(as_json: bool) -> anyhow::Result<()> {
    let Some(state) = Files::open()?.running()? else {
        let text = "the networks are not up; start them with: cargo testnets up";
        return print(as_json, &json!({ "running": false }), text);
    };
    let heights = Heights::ask(&state).await;
    print(as_json, &as_value(&state, &heights)?, &as_table(&state, &heights))
}

/// How far each network is; `None` where no node answers.
struct Heights {
    evm: Option<u64>,
    bitcoin: Option<u64>,
    solana: Option<u64>,
}

impl Heights {
    async fn ask(state: &State) -> Self {
        let evm = async { Evm::connect(&state.evm.rpc_url).await?.height().await };
        let bitcoin = async { Bitcoin::connect(&state.bitcoin.rpc_url).await?.height().await };
        let solana = async { Solana::connect(&state.solana.rpc_url).await?.slot().await };
        let (evm, bitcoin, solana) = tokio::join!(evm, bitcoin, solana);
        Self { evm: evm.ok(), bitcoin: bitcoin.ok(), solana: solana.ok() }
    }
}

fn as_value(state: &State, heights: &Heights) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(state)?;
    value["running"] = json!(true);
    for (name, height) in
        [("evm", heights.evm), ("bitcoin", heights.bitcoin), ("solana", heights.solana)]
    {
        value[name]["height"] = json!(height);
    }
    Ok(value)
}

fn as_table(state: &State, heights: &Heights) -> String {
    let mut rows = vec![["network", "height", "chain", "at"].map(str::to_owned).to_vec()];
    let mut row = |name: &str, height: Option<u64>, network: &Network| {
        let height = height.map_or_else(|| "no answer".into(), |height| height.to_string());
        rows.push(vec![name.into(), height, network.chain.clone(), network.rpc_url.clone()]);
        if let Some(url) = &network.ws_url {
            rows.push(vec![String::new(), String::new(), String::new(), url.clone()]);
        }
    };
    row("evm", heights.evm, &state.evm);
    row("bitcoin", heights.bitcoin, &state.bitcoin);
    row("solana", heights.solana, &state.solana);
    let mut text = aligned(&rows);
    for token in [&state.evm.token, &state.solana.token].into_iter().flatten() {
        text.push_str(&format!("\ntest token  {token}"));
    }
    text.push_str(&format!("\nmnemonic    {}", state.mnemonic));
    text
}

/// Columns as wide as their longest entry, two spaces apart.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(String::len).max())
        .map(Option::unwrap_or_default)
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "bb".to_owned()], vec!["ccc".to_owned(), "d".to_owned()]];
        assert_eq!(aligned(&rows), "a    bb\nccc  d");
    }
}
