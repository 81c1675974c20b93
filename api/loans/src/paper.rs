//! What a person looks at: a plot of the schedule and a statement.

use std::fmt::Write as _;

use jiff::civil::Date;

use crate::loan::{Amounts, LineKind, Loan, Status};
use crate::messages::{Messages, decimal_text};
use crate::schedule::Schedule;
use crate::terms::Component;
use crate::{LoanError, Money};

/// An instalment of a plot, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// The day it is due.
    pub due: Date,
    /// Principal.
    pub principal: Money,
    /// Interest.
    pub interest: Money,
}

/// The bars of a schedule.
#[must_use]
pub fn schedule_bars(schedule: &Schedule) -> Vec<Bar> {
    let bar = |line: &crate::schedule::Instalment| Bar {
        due: line.due,
        principal: line.principal,
        interest: line.interest,
    };
    schedule.instalments.iter().map(bar).collect()
}

/// The bars of a loan as it stands: what was due and what is to come.
#[must_use]
pub fn loan_bars(loan: &Loan) -> Vec<Bar> {
    let past = loan.lines().iter().filter(|line| line.kind != LineKind::Upfront).map(|line| Bar {
        due: line.due,
        principal: line.slot(Component::Principal).owed,
        interest: line.slot(Component::Interest).owed,
    });
    let coming = loan.coming().map(|line| Bar {
        due: line.due,
        principal: line.principal,
        interest: line.interest,
    });
    past.chain(coming).collect()
}

/// What to plot of a loan: its schedule as agreed and, when a change or a prepayment has led to
/// another, the one that it follows.
///
/// # Errors
/// [`LoanError::Overflow`].
pub fn before_and_after(loan: &Loan) -> Result<(Vec<Bar>, Option<Vec<Bar>>), LoanError> {
    let (before, after) = (schedule_bars(&Schedule::build(loan.contract())?), loan_bars(loan));
    let changed = before != after;
    Ok((before, changed.then_some(after)))
}

const WIDTH: i128 = 720;
const PANEL_HEIGHT: i128 = 180;
const MARGIN: i128 = 40;

/// An SVG of one or two schedules over time, to the same scale: principal below, interest above.
///
/// # Errors
/// [`LoanError::Overflow`]; [`LoanError::Terms`] for a missing text.
pub fn schedule_svg(
    messages: &Messages,
    before: &[Bar],
    after: Option<&[Bar]>,
) -> Result<String, LoanError> {
    let panels: Vec<(&str, &[Bar])> = std::iter::once(("plot-before", before))
        .chain(after.map(|bars| ("plot-after", bars)))
        .collect();
    let bars = || panels.iter().flat_map(|(_, bars)| bars.iter());
    let mut highest = 1;
    for bar in bars() {
        highest = highest.max(bar.principal.plus(bar.interest)?.minor());
    }
    let first = bars().map(|bar| bar.due).min();
    let last = bars().map(|bar| bar.due).max();
    let days = first.zip(last).map_or(1, |(a, b)| crate::calendar::days_between(a, b).max(1));
    let count = i128::try_from(panels.len()).map_err(|_| LoanError::Overflow)?;
    let height = count.saturating_mul(PANEL_HEIGHT.saturating_add(MARGIN)).saturating_add(MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <rect x=\"480\" y=\"14\" width=\"10\" height=\"10\" fill=\"#2f6f9f\"/>\
         <text x=\"494\" y=\"23\">{principal}</text>\
         <rect x=\"580\" y=\"14\" width=\"10\" height=\"10\" fill=\"#d9822b\"/>\
         <text x=\"594\" y=\"23\">{interest}</text>\n",
        title = escape(&messages.text("plot-title", &[])?),
        principal = escape(&messages.text("statement-principal", &[])?),
        interest = escape(&messages.text("statement-interest", &[])?),
    );
    let mut top = MARGIN;
    for (name, bars) in &panels {
        let scale = Scale { first, days: days.into(), highest };
        panel(&mut svg, &messages.text(name, &[])?, bars, top, &scale)?;
        top = top.saturating_add(PANEL_HEIGHT).saturating_add(MARGIN);
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

struct Scale {
    first: Option<Date>,
    days: i128,
    highest: i128,
}

impl Scale {
    fn x(&self, due: Date) -> i128 {
        let day = self.first.map_or(0, |first| crate::calendar::days_between(first, due));
        let span = WIDTH.saturating_sub(MARGIN.saturating_mul(2)).saturating_sub(10);
        let along = span.saturating_mul(day.into()).checked_div(self.days).unwrap_or(0);
        along.saturating_add(MARGIN)
    }

    fn height(&self, amount: Money) -> i128 {
        let scaled = PANEL_HEIGHT.saturating_mul(amount.minor());
        scaled.checked_div(self.highest).unwrap_or(0)
    }
}

fn panel(
    svg: &mut String,
    title: &str,
    bars: &[Bar],
    top: i128,
    scale: &Scale,
) -> Result<(), LoanError> {
    let bottom = top.saturating_add(PANEL_HEIGHT);
    let mut out =
        |text: std::fmt::Arguments<'_>| svg.write_fmt(text).map_err(|_| LoanError::Overflow);
    let (caption, right) = (top.saturating_sub(6), WIDTH.saturating_sub(MARGIN));
    out(format_args!("<text x=\"{MARGIN}\" y=\"{caption}\">{}</text>\n", escape(title)))?;
    out(format_args!(
        "<line x1=\"{MARGIN}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\" stroke=\"#999\"/>\n"
    ))?;
    let count = i128::try_from(bars.len().max(1)).map_err(|_| LoanError::Overflow)?;
    let room = WIDTH.saturating_sub(MARGIN.saturating_mul(2));
    let width = room.checked_div(count.saturating_mul(2)).unwrap_or(1).clamp(1, 20);
    for bar in bars {
        let x = scale.x(bar.due);
        let (principal, interest) = (scale.height(bar.principal), scale.height(bar.interest));
        let y = bottom.saturating_sub(principal);
        let above = y.saturating_sub(interest);
        out(format_args!(
            "<g><title>{}: {} + {}</title>\
             <rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{principal}\" fill=\"#2f6f9f\"/>\
             <rect x=\"{x}\" y=\"{above}\" width=\"{width}\" height=\"{interest}\" fill=\"#d9822b\"/></g>\n",
            bar.due, bar.principal, bar.interest
        ))?;
    }
    if let (Some(first), Some(last)) = (bars.first(), bars.last()) {
        let y = bottom.saturating_add(14);
        out(format_args!("<text x=\"{MARGIN}\" y=\"{y}\">{}</text>", first.due))?;
        out(format_args!(
            "<text x=\"{right}\" y=\"{y}\" text-anchor=\"end\">{}</text>\n",
            last.due
        ))?;
    }
    Ok(())
}

/// Text inside HTML or SVG.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// A statement that a person can read: one HTML page, complete in itself.
///
/// # Errors
/// [`LoanError::Overflow`]; [`LoanError::Terms`] for a missing text.
pub fn statement_html(
    language: &str,
    name: &str,
    borrower: &str,
    loan: &Loan,
) -> Result<String, LoanError> {
    let messages = Messages::new(language)?;
    let page = Page { messages: &messages, loan, currency: &loan.contract().terms.currency };
    let plot = schedule_svg(
        &messages,
        &schedule_bars(&Schedule::build(loan.contract())?),
        Some(&loan_bars(loan)),
    )?;
    let title = page.text("statement-title")?;
    let date = loan.as_of().to_string();
    let of = escape(&messages.text("statement-of", &[("date", &date)])?);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"{language}\"><head><meta charset=\"utf-8\">\
         <title>{title}</title><style>body{{font-family:sans-serif;max-width:60em;margin:2em auto}}\
         table{{border-collapse:collapse;width:100%}}td,th{{border-bottom:1px solid #ddd;\
         padding:.3em;text-align:right}}td:first-child,th:first-child{{text-align:left}}\
         </style></head><body>\n<h1>{title}</h1>\n<p>{of}</p>\n"
    );
    html.push_str(&page.summary(name, borrower)?);
    html.push_str(&plot);
    html.push_str(&page.past()?);
    html.push_str(&page.payments()?);
    html.push_str(&page.coming()?);
    html.push_str("</body></html>\n");
    Ok(html)
}

struct Page<'a> {
    messages: &'a Messages,
    loan: &'a Loan,
    currency: &'a str,
}

impl Page<'_> {
    fn text(&self, id: &str) -> Result<String, LoanError> {
        Ok(escape(&self.messages.text(id, &[])?))
    }

    fn money(&self, amount: Money) -> String {
        decimal_text(amount, self.currency)
    }

    fn row(cells: &[String], tag: &str) -> String {
        let cells: String = cells.iter().map(|cell| format!("<{tag}>{cell}</{tag}>")).collect();
        format!("<tr>{cells}</tr>\n")
    }

    fn heads(&self, ids: &[&str]) -> Result<String, LoanError> {
        let cells: Result<Vec<String>, LoanError> = ids.iter().map(|id| self.text(id)).collect();
        Ok(Self::row(&cells?, "th"))
    }

    fn table(&self, title: &str, heads: &[&str], rows: &[String]) -> Result<String, LoanError> {
        let body = match rows {
            [] => format!("<p>{}</p>", self.text("statement-none")?),
            rows => format!("<table>{}{}</table>", self.heads(heads)?, rows.concat()),
        };
        Ok(format!("<h2>{}</h2>\n{body}\n", self.text(title)?))
    }

    fn summary(&self, name: &str, borrower: &str) -> Result<String, LoanError> {
        let status = match self.loan.status()? {
            Status::Active => "status-active",
            Status::Overdue => "status-overdue",
            Status::Settled => "status-settled",
            Status::ChargedOff => "status-charged_off",
        };
        let facts = [
            ("statement-loan", escape(name)),
            ("statement-borrower", escape(borrower)),
            ("statement-status", self.text(status)?),
            ("statement-held", self.money(self.loan.held()?)),
        ];
        let mut rows = String::new();
        for (id, value) in facts {
            rows.push_str(&Self::row(&[self.text(id)?, value], "td"));
        }
        let amounts = |title: &str, amounts: Amounts| -> Result<String, LoanError> {
            let parts = [amounts.principal, amounts.interest, amounts.fee, amounts.penalty];
            let mut cells = vec![self.text(title)?];
            cells.extend(parts.map(|part| self.money(part)));
            cells.push(format!("{} {}", self.money(amounts.total()?), escape(self.currency)));
            Ok(Self::row(&cells, "td"))
        };
        let heads = [
            "statement-total",
            "statement-principal",
            "statement-interest",
            "statement-fees",
            "statement-penalty",
            "statement-total",
        ];
        Ok(format!(
            "<table>{rows}</table>\n<table>{}{}{}</table>\n",
            self.heads(&heads)?,
            amounts("statement-outstanding", self.loan.outstanding()?)?,
            amounts("statement-due", self.loan.due()?)?,
        ))
    }

    fn past(&self) -> Result<String, LoanError> {
        let mut rows = Vec::new();
        for line in self.loan.lines() {
            let mut cells = vec![line.due.to_string(), line.number.to_string()];
            let mut paid = Money::ZERO;
            for component in
                [Component::Principal, Component::Interest, Component::Fee, Component::Penalty]
            {
                cells.push(self.money(line.slot(component).owed));
                paid = paid.plus(line.slot(component).paid)?;
            }
            cells.extend([self.money(paid), self.money(line.open()?)]);
            rows.push(Self::row(&cells, "td"));
        }
        let heads = [
            "statement-date",
            "statement-number",
            "statement-principal",
            "statement-interest",
            "statement-fees",
            "statement-penalty",
            "statement-paid",
            "statement-open",
        ];
        self.table("statement-lines", &heads, &rows)
    }

    fn payments(&self) -> Result<String, LoanError> {
        let mut rows = Vec::new();
        for part in self.loan.allocations() {
            let kind = match part.component {
                Component::Fee => "statement-fees",
                Component::Penalty => "statement-penalty",
                Component::Interest => "statement-interest",
                Component::Principal => "statement-principal",
            };
            let cells = [
                part.date.to_string(),
                part.instalment.to_string(),
                self.text(kind)?,
                self.money(part.amount),
            ];
            rows.push(Self::row(&cells, "td"));
        }
        let heads = ["statement-date", "statement-number", "statement-paid", "statement-total"];
        self.table("statement-payments", &heads, &rows)
    }

    fn coming(&self) -> Result<String, LoanError> {
        let mut rows = Vec::new();
        for line in self.loan.coming() {
            let cells = [
                line.due.to_string(),
                line.number.to_string(),
                self.money(line.principal),
                self.money(line.interest),
                self.money(line.fee),
                self.money(line.total()?),
            ];
            rows.push(Self::row(&cells, "td"));
        }
        let heads = [
            "statement-date",
            "statement-number",
            "statement-principal",
            "statement-interest",
            "statement-fees",
            "statement-total",
        ];
        self.table("statement-coming", &heads, &rows)
    }
}
