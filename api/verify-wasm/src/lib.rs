#![doc = include_str!("../README.md")]

use std::cell::RefCell;

use api_verify::Language;
use api_verify::answer::{Answer, Question};
use serde::Deserialize;
use serde_json::json;

/// No question is as long.
const INPUT_BYTES_MAX: usize = 64 << 20;

thread_local! {
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static OUTPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[derive(Deserialize)]
struct Asked {
    language: String,
    question: Question,
}

/// Answers a question in JSON, `{"language": "en", "question": {"receipt": "…", "keys": ["…"],
/// "policy": null, "headers": null}}`, by `{"exit_code": 0, "lines": ["…"], "answer": {…}}`, whose
/// `answer` is what the command prints with `--json`.
#[must_use]
pub fn answer(input: &[u8]) -> Vec<u8> {
    let asked: Result<Asked, _> = serde_json::from_slice(input);
    let asked = asked.map_err(|error| error.to_string());
    let answer = asked.and_then(|asked| {
        let language: Language = asked.language.parse()?;
        Ok(asked.question.answer(language))
    });
    let Answer { exit_code, json, lines } = answer.unwrap_or_else(Answer::usage);
    json!({ "exit_code": exit_code, "lines": lines, "answer": json }).to_string().into_bytes()
}

/// Makes room for a question of so many bytes, and says where to write it; null if it is too long.
#[expect(unsafe_code, reason = "the page calls it by this name")]
#[unsafe(no_mangle)]
pub extern "C" fn roadstead_input(length: usize) -> *mut u8 {
    INPUT.with_borrow_mut(|input| {
        input.clear();
        if length > INPUT_BYTES_MAX {
            return std::ptr::null_mut();
        }
        input.resize(length, 0);
        input.as_mut_ptr()
    })
}

/// Answers the question that was written; says where the answer is.
#[expect(unsafe_code, reason = "the page calls it by this name")]
#[unsafe(no_mangle)]
pub extern "C" fn roadstead_answer() -> *const u8 {
    let answered = INPUT.with_borrow(|input| answer(input));
    OUTPUT.with_borrow_mut(|output| {
        *output = answered;
        output.as_ptr()
    })
}

/// The length of the last answer in bytes.
#[expect(unsafe_code, reason = "the page calls it by this name")]
#[unsafe(no_mangle)]
pub extern "C" fn roadstead_answer_length() -> usize {
    OUTPUT.with_borrow(Vec::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(input: &str) -> serde_json::Value {
        serde_json::from_slice(&answer(input.as_bytes())).unwrap_or_default()
    }

    #[test]
    fn every_question_has_an_answer() {
        for input in ["", "{}", "[1]", r#"{"language":"xx","question":{}}"#] {
            assert_eq!(ask(input)["exit_code"], 2, "{input}");
        }
        let refused = ask(r#"{"language":"zh","question":{"receipt":"{}"}}"#);
        assert_eq!(
            (&refused["exit_code"], &refused["answer"]["code"]),
            (&json!(1), &json!("malformed"))
        );
        assert!(refused["lines"][0].as_str().is_some_and(|line| line.starts_with("拒绝")));
    }
}
