//! The frozen vectors of every receipt format ever issued, and random damage to the good ones, judged
//! by this verifier, by the one in Python, and by the page in a browser.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod judges;
mod mutations;

use api_verify::Language;
use api_verify::anchor::{AnchorReport, Status};
use api_verify::answer::Question;
use api_verify::report::Report;
use serde_json::{Value, json};

use judges::{Case, cases, gist, in_page, in_python, in_rust};
use mutations::{Dice, damage};

#[test]
fn promise_39_every_vector_is_judged_as_it_always_was() {
    let cases = cases();
    assert!(cases.len() > 80, "{}", cases.len());
    for case in cases {
        let answer = in_rust(&case.question(case.text())).json;
        let found = (answer["verdict"].as_str(), answer["code"].as_str());
        assert_eq!(found, (Some(case.verdict.as_str()), case.code.as_deref()), "{}", case.file);
    }
}

/// Whether what was found in a damaged receipt is no more than what the whole one proves. Names of
/// unchecked signers and heights that the operator merely says may differ.
fn is_no_more(found: &Report, whole: &Report) -> bool {
    let fields = found.record.fields.iter().all(|(name, value)| {
        whole.record.fields.get(name) == Some(value)
            || (whole.record.sealed.contains(name) && !whole.record.fields.contains_key(name))
    });
    let plain = |anchor: &AnchorReport| AnchorReport { claimed_height: None, ..anchor.clone() };
    let known: Vec<AnchorReport> = whole.anchors.iter().map(plain).collect();
    let anchors = found.anchors.iter().map(plain).all(|anchor| {
        // With fewer headers there is less work, and perhaps none that is trusted.
        anchor.status != Status::Proved
            || known.iter().any(|known| {
                AnchorReport { work: None, blocks: Vec::new(), ..known.clone() }
                    == AnchorReport { work: None, blocks: Vec::new(), ..anchor.clone() }
            })
    });
    let mut log = found.log.clone();
    log.claimed_signers.clone_from(&whole.log.claimed_signers);
    let complete = found.completeness.is_none() || found.completeness == whole.completeness;
    let within = |few: &[String], many: &[String]| few.iter().all(|one| many.contains(one));
    let witnessed = found.witnessed_by.iter().all(|one| whole.witnessed_by.contains(one));
    let signed = within(&found.signed_by, &whole.signed_by);
    fields && anchors && complete && witnessed && signed && log == whole.log
}

/// Flips a bit of every byte of a receipt: what comes of it may prove less, never anything else.
#[test]
fn promise_39_no_flipped_byte_proves_anything_else() {
    let cases = cases();
    let case = cases.iter().find(|case| case.file == "good-trusted-headers.json").unwrap();
    let text = case.text();
    let whole = case.report(&text).unwrap();
    assert_eq!(whole.anchors.iter().filter(|anchor| anchor.status == Status::Proved).count(), 2);
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let flipped = String::from_utf8(bytes).ok();
        let Some(found) = flipped.and_then(|text| case.report(&text)) else { continue };
        let before = || &text[text[..at].rfind('\n').unwrap_or(0)..=at];
        assert!(is_no_more(&found, &whole), "{}", before());
        assert_eq!(found.record, whole.record, "{}", before());
        assert_eq!(found.anchors.len(), whole.anchors.len(), "{}", before());
    }
}

/// Damaged copies of the good vectors, each with the case that it comes from.
fn damaged(numbers: std::ops::Range<u64>) -> Vec<(Case, String)> {
    let good: Vec<Case> = cases().into_iter().filter(|case| case.code.is_none()).collect();
    let texts: Vec<String> = good.iter().map(Case::text).collect();
    let make = |number| {
        let mut dice = Dice::new(number);
        let (one, other) = (dice.roll(good.len()), dice.roll(good.len()));
        (good[one].clone(), damage(&texts[one], &texts[other], &mut dice))
    };
    numbers.map(make).collect()
}

fn prove_no_more(numbers: std::ops::Range<u64>) {
    let wholes: Vec<Report> = cases().iter().filter_map(|case| case.report(&case.text())).collect();
    for (number, (case, text)) in numbers.clone().zip(damaged(numbers)) {
        let Some(found) = case.report(&text) else { continue };
        // Parts of another receipt may make it that one.
        let known = wholes.iter().any(|whole| is_no_more(&found, whole));
        assert!(known, "damage {number} of {}: {found:#?}", case.file);
    }
}

#[test]
fn promise_39_random_damage_never_proves_more() {
    prove_no_more(0..4_000);
}

#[test]
#[ignore = "a campaign: .ci/long"]
fn random_damage_never_proves_more_in_a_long_run() {
    // Not all at once: they are large.
    (0..100).for_each(|part| prove_no_more(1_000_000 + part * 1_000..1_001_000 + part * 1_000));
}

#[test]
fn promise_39_the_python_verifier_agrees_on_all_vectors() {
    python_agrees(&cases().iter().map(|case| case.question(case.text())).collect::<Vec<_>>());
}

fn damaged_questions(numbers: std::ops::Range<u64>) -> Vec<Question> {
    damaged(numbers).into_iter().map(|(case, text)| case.question(text)).collect()
}

#[test]
fn promise_39_the_python_verifier_agrees_on_damaged_receipts() {
    python_agrees(&damaged_questions(0..300));
}

#[test]
#[ignore = "a campaign: .ci/long"]
fn the_python_verifier_agrees_in_a_long_run() {
    for part in 0..10 {
        let from = 2_000_000 + part * 500;
        python_agrees(&damaged_questions(from..from + 500));
    }
}

fn python_agrees(questions: &[Question]) {
    let Some(answers) = in_python(questions) else { return };
    assert_eq!(answers.len(), questions.len());
    for (question, answer) in questions.iter().zip(answers) {
        let ours = in_rust(question).json;
        assert_eq!(gist(&ours), answer, "{} {:.400}", ours["problem"], question.receipt);
    }
}

/// The page says what the command says, to the word, and opens no connection.
fn page_agrees(questions: Vec<Question>, how: impl Fn(usize) -> Value) {
    let asked: Vec<(Question, Value)> =
        (0..).zip(questions).map(|(number, question)| (question, how(number))).collect();
    let Some(answers) = in_page(&asked) else { return };
    for ((question, how), answer) in asked.iter().zip(answers) {
        let language = how["language"].as_str().unwrap_or("en").parse().unwrap();
        let ours = question.answer(language);
        let ours = json!({ "exit_code": ours.exit_code, "lines": ours.lines, "answer": ours.json });
        assert_eq!(ours, answer, "{how} {:.400}", question.receipt);
    }
}

#[test]
fn promise_39_the_page_in_a_browser_agrees_on_all_vectors() {
    let questions = cases().iter().map(|case| case.question(case.text())).collect();
    page_agrees(questions, |number| {
        let by = ["paste", "file", "drop"][number % 3];
        json!({ "by": by, "language": if number % 2 == 0 { "en" } else { "zh" } })
    });
}

#[test]
fn promise_39_the_page_in_a_browser_agrees_on_damaged_receipts_and_policies() {
    let mut questions = damaged_questions(5_000..5_150);
    let cases = cases();
    let case = cases.iter().find(|case| case.file == "good-cosigned.json").unwrap();
    let [log, w1, w2] = &case.keys[..] else { panic!("three keys") };
    for rest in ["group g all w1 w2\nquorum g\n", "quorum none\nanchors 1\n", "quorum nobody\n", ""]
    {
        let policy = format!("log {log}\nwitness w1 {w1}\nwitness w2 {w2}\n{rest}");
        let question = case.question(case.text());
        questions.push(Question { keys: Vec::new(), policy: Some(policy), ..question });
    }
    page_agrees(questions, |_| json!({}));
}

#[test]
fn the_languages_differ_in_words_alone() {
    for case in cases() {
        let question = case.question(case.text());
        let (english, chinese) =
            (question.answer(Language::English), question.answer(Language::Chinese));
        assert_eq!((english.exit_code, &english.json), (chinese.exit_code, &chinese.json));
        assert_eq!(english.lines.len(), chinese.lines.len(), "{}", case.file);
        assert_ne!(english.lines, chinese.lines, "{}", case.file);
    }
}
