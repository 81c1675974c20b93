//! What was found out in plain words, in the languages that the verifier speaks.

use std::str::FromStr;

use crate::anchor::{AnchorReport, Status};
use crate::report::{CompletenessReport, Cosignature, LogReport, Report, Shortfall};
use crate::text::utc;

/// A language of the verifier's plain words. Codes and JSON are the same in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Chinese, simplified characters.
    Chinese,
}

impl FromStr for Language {
    type Err = String;

    fn from_str(tag: &str) -> Result<Self, String> {
        match tag {
            "en" => Ok(Self::English),
            "zh" => Ok(Self::Chinese),
            _ => Err("the languages are en and zh".to_owned()),
        }
    }
}

impl Language {
    /// The text of this language.
    fn of<T>(self, english: T, chinese: T) -> T {
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }

    /// The report, one finding a line.
    #[must_use]
    pub fn report(self, report: &Report) -> Vec<String> {
        let mut lines = self.record(report);
        let LogReport { origin, index, size, .. } = &report.log;
        lines.push(self.of(
            format!(
                "proved: this record is entry {index} of the log {origin}, as it stood at {size} entries"
            ),
            format!("已证明：此记录是日志 {origin} 的第 {index} 条（从 0 起数），当时日志共有 {size} 条"),
        ));
        lines.extend(self.signers(report));
        if let Some(CompletenessReport { stream, events, place }) = &report.completeness {
            lines.push(self.of(
                format!(
                    "proved: {stream} has {events} events at that checkpoint and no others; this is \
                     number {place}"
                ),
                format!("已证明：在该检查点，{stream} 有且仅有 {events} 个事件；此为第 {place} 个"),
            ));
        }
        lines.extend(report.anchors.iter().map(|anchor| self.anchor(anchor)));
        if report.anchors.is_empty() {
            let none = "no anchor: the log was not written to any chain";
            lines.push(self.of(none, "没有锚定：收据未显示日志写入过任何区块链").to_owned());
        }
        lines.push(match report.since().map(utc) {
            Some(time) => self.of(
                format!("since: the record existed no later than {time}"),
                format!("时间：此记录最迟在 {time} 已经存在"),
            ),
            None => self
                .of(
                    "since: no time is proved offline; give headers or a node",
                    "时间：离线时没有证明任何时间；请提供区块头，或用命令行询问节点",
                )
                .to_owned(),
        });
        lines
    }

    fn record(self, report: &Report) -> Vec<String> {
        let mut lines = vec![self.of("record:", "记录：").to_owned()];
        let fields = &report.record.fields;
        lines.extend(fields.iter().map(|(name, value)| format!("  {name} = {}", shown(value))));
        if !report.record.sealed.is_empty() {
            let sealed = report.record.sealed.join(", ");
            lines.push(self.of(format!("  sealed: {sealed}"), format!("  未公开：{sealed}")));
        }
        lines
    }

    fn signers(self, report: &Report) -> Vec<String> {
        let signed = |key: &String| {
            self.of(
                format!("proved: the checkpoint is signed by {key}, which you trust"),
                format!("已证明：检查点由您信任的 {key} 签名"),
            )
        };
        let mut lines: Vec<String> = report.signed_by.iter().map(signed).collect();
        if lines.is_empty() {
            let names = report.log.claimed_signers.join(", ");
            lines.push(self.of(
                format!("not proved: by whom; the checkpoint claims to be signed by {names}"),
                format!("未证明：由谁签名；检查点自称由 {names} 签名"),
            ));
        }
        lines.extend(report.witnessed_by.iter().map(|Cosignature { name, time }| {
            let time = utc(*time);
            self.of(
                format!("proved: the witness {name} saw this checkpoint at {time}"),
                format!("已证明：见证者 {name} 于 {time} 见过此检查点"),
            )
        }));
        lines
    }

    fn anchor(self, anchor: &AnchorReport) -> String {
        let AnchorReport { chain, size, .. } = anchor;
        let block = anchor.block.as_deref().unwrap_or_default();
        let transaction = anchor.transaction.as_deref().unwrap_or_default();
        let by = anchor.trusted_by.as_deref().unwrap_or_default();
        let (place, work) = (self.place(anchor), self.work(anchor));
        match anchor.status {
            Status::Proved => self.of(
                format!("anchor {chain}: proved: {size} entries, block {block}{place}, trusted by {by}{work}"),
                format!("锚定 {chain}：已证明：{size} 条，区块 {block}{place}，依据您给的区块头或节点{work}"),
            ),
            Status::ProvedGivenHeader => self.of(
                format!(
                    "anchor {chain}: proved given that header {block}{place} is on the chain: {size} \
                     entries{work}"
                ),
                format!(
                    "锚定 {chain}：若区块头 {block}{place} 确在链上，则已证明：{size} 条{work}"
                ),
            ),
            Status::NeedsNode => self.of(
                format!(
                    "anchor {chain}: needs a node: transaction {transaction} is signed and holds {size} \
                     entries; that it is on the chain has no offline proof"
                ),
                format!(
                    "锚定 {chain}：需要节点：交易 {transaction} 已签名并载有 {size} 条；它是否在链上无法离线证明"
                ),
            ),
        }
    }

    /// The height and time of an anchor's block.
    fn place(self, anchor: &AnchorReport) -> String {
        let height = match (anchor.height, anchor.claimed_height) {
            (Some(height), _) => {
                self.of(format!(" (height {height})"), format!("（高度 {height}）"))
            }
            (None, Some(claimed)) => self.of(
                format!(" (height {claimed}, as the operator says)"),
                format!("（据运营者称高度为 {claimed}）"),
            ),
            (None, None) => String::new(),
        };
        let time = anchor.time.map(utc);
        let time = time.map(|time| self.of(format!(" of {time}"), format!("（时间 {time}）")));
        height + &time.unwrap_or_default()
    }

    fn work(self, anchor: &AnchorReport) -> String {
        let work = anchor.work.map(|(headers, bits)| {
            self.of(
                format!("; {headers} header(s) with work of at least 2^{bits} hashes each"),
                format!("；{headers} 个区块头，每个至少 2^{bits} 次散列的工作量"),
            )
        });
        work.unwrap_or_default()
    }

    /// What is missing for the policy.
    #[must_use]
    pub fn shortfall(self, shortfall: &Shortfall) -> String {
        match shortfall {
            Shortfall::Signer => self
                .of(
                    "who keeps the log: no log key was given (--key or --policy)",
                    "日志由谁保管：没有给出日志的公钥（密钥或政策）",
                )
                .to_owned(),
            Shortfall::Quorum => self
                .of(
                    "enough witnesses: the policy's quorum is not reached",
                    "见证者足够：未达到政策要求的法定数",
                )
                .to_owned(),
            Shortfall::Anchors { proved, wanted } => self.of(
                format!(
                    "enough anchors: {proved} of the {wanted} that the policy asks for are proved"
                ),
                format!("锚定足够：政策要求 {wanted} 个，已证明 {proved} 个"),
            ),
            Shortfall::Node { chain, failure } => self.of(
                format!("an answer of the node of {chain}: {failure}"),
                format!("{chain} 的节点的回答：{failure}"),
            ),
        }
    }

    pub(crate) fn not_proved(self, shortfall: &Shortfall) -> String {
        let what = self.shortfall(shortfall);
        self.of(format!("not proved: {what}"), format!("未证明：{what}"))
    }

    pub(crate) fn verdict(self, accepted: bool) -> String {
        let (english, chinese) = if accepted {
            ("ACCEPTED: everything that was asked for is proved", "通过：所要求的都已证明")
        } else {
            (
                "INCOMPLETE: nothing is false, but not everything that was asked for is proved",
                "不完整：没有虚假之处，但所要求的并未全部证明",
            )
        };
        self.of(english, chinese).to_owned()
    }

    /// A refusal; the particulars are in English in every language.
    pub(crate) fn refusal(self, code: &str, problem: &str) -> String {
        let chinese = match code {
            "malformed" => "这不是可以读取的收据",
            "record" => "记录与日志所记不符",
            "proof" => "证明无法读取",
            "not_in_log" => "记录不在日志中的该位置",
            "forged" => "检查点是伪造的",
            "untrusted_log" => "检查点没有您信任的日志的签名",
            "fork" => "锚定的检查点不是该日志的延续",
            "anchor" => "锚定是虚假的",
            "contract" => "锚定由政策未指明的合约记录",
            "completeness" => "未能证明事件完整",
            "node" => "您指定的节点否认此锚定",
            _ => "日志有误",
        };
        self.of(
            format!("REFUSED ({code}): {problem}"),
            format!("拒绝（{code}）：{chinese}。详情：{problem}"),
        )
    }
}

/// A value without control characters, which could otherwise forge a line of the report.
fn shown(value: &str) -> String {
    value
        .chars()
        .flat_map(|c| {
            c.is_control().then(|| c.escape_default()).map_or_else(|| vec![c], Iterator::collect)
        })
        .collect()
}
