//! The story in `docs/STORY-LOAN.md`, request by request: the document is the test.

use std::collections::BTreeMap;
use std::time::Instant;

use api_store::Engine;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use crate::bank::deliver;
use crate::http::{Answer, Call};
use crate::world::{PATIENCE, Setup, World};

const STORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/STORY-LOAN.md");

/// A fenced block: the words after the fence, and what it holds.
struct Block {
    words: Vec<String>,
    text: String,
}

fn blocks() -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open = false;
    let story = std::fs::read_to_string(STORY).unwrap();
    for line in story.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(words), false) => {
                let words = words.split_whitespace().map(str::to_owned).collect();
                found.push(Block { words, text: String::new() });
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => {
                let text = &mut found.last_mut().unwrap().text;
                text.push_str(line);
                text.push('\n');
            }
            (None, false) => {}
        }
    }
    assert!(!open, "a fence is left open");
    found
}

/// What `${name}` stands for.
struct Names(BTreeMap<String, Value>);

impl Names {
    fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.0 {
            let plain = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text = text.replace(&format!("${{{name}}}"), &plain);
        }
        assert!(!text.contains("${"), "unknown name in {text}");
        text
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => match name(text).and_then(|name| self.0.get(name)) {
                Some(bound) => bound.clone(),
                None => Value::String(self.text(text)),
            },
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, field)| (name.clone(), self.value(field))).collect()
            }
            other => other.clone(),
        }
    }

    /// True when `found` has all that is `expected`; names that are met first are learned.
    fn fits(&mut self, expected: &Value, found: &Value) -> bool {
        match expected {
            Value::Object(fields) => {
                fields.iter().all(|(name, field)| self.fits(field, &found[name]))
            }
            Value::Array(items) => {
                let list = found.as_array();
                list.is_some_and(|list| list.len() >= items.len())
                    && items.iter().enumerate().all(|(place, item)| self.fits(item, &found[place]))
            }
            Value::String(text) if name(text).is_some() => {
                let name = name(text).unwrap();
                !found.is_null()
                    && self.0.entry(name.to_owned()).or_insert_with(|| found.clone()) == found
            }
            plain => plain == found,
        }
    }
}

fn name(text: &str) -> Option<&str> {
    text.strip_prefix("${")?.strip_suffix('}').filter(|name| !name.contains('}'))
}

struct Story {
    world: World,
    names: Names,
    key: SigningKey,
    answer: Option<Answer>,
}

impl Story {
    async fn send(&self, block: &Block) -> Answer {
        let (head, body) = block.text.split_once("\n\n").unwrap_or((&block.text, ""));
        let mut lines = head.lines();
        let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
        let mut call = Call::new(&self.world, method, &self.names.text(path));
        call = call.key(&match block.words[1].as_str() {
            "operator" => self.world.stack.operator_key.clone(),
            _ => self.names.0["tenant_key"].as_str().unwrap().to_owned(),
        });
        for line in lines {
            let key = line.strip_prefix("Idempotency-Key: ").unwrap();
            call = call.once(key);
        }
        if !body.trim().is_empty() {
            let body: Value = serde_json::from_str(body).unwrap();
            call = call.json(&self.names.value(&body));
        }
        let answer = call.try_send().await.unwrap();
        assert!(answer.status < 500, "{}\n{}", answer.text, self.world.stack.server_log());
        answer
    }

    async fn request(&mut self, block: &Block, expected: Option<Value>) {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.send(block).await;
            let refused = block.words.iter().any(|word| word == "refused");
            assert_eq!(answer.status >= 400, refused, "{}: {answer:?}", block.text);
            let fits = expected.as_ref().is_none_or(|json| {
                let mut tried = Names(self.names.0.clone());
                let fits = tried.fits(json, &answer.body);
                if fits {
                    self.names = tried;
                }
                fits
            });
            if fits {
                self.answer = Some(answer);
                return;
            }
            let waits = block.words.iter().any(|word| word == "wait") && Instant::now() < until;
            assert!(waits, "{}\nexpected {expected:?}\nfound {}", block.text, answer.text);
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    async fn step(&mut self, block: &Block, next: Option<&Block>) {
        let text = || self.names.text(&block.text);
        match block.words[0].as_str() {
            "http" => {
                let json = next.filter(|next| next.words[0] == "json");
                let json = json.map(|next| serde_json::from_str(&next.text).unwrap());
                self.request(block, json).await;
            }
            "json" => {}
            "csv" => {
                let name = &block.words[1];
                assert_eq!(deliver(&self.world, name, &text()).await, format!("{name}.done"));
            }
            "sign" => {
                let (message, name) = block.text.trim().split_once(" -> ").unwrap();
                let signature = self.key.sign(self.names.text(message).as_bytes());
                let name = crate::story::name(name).unwrap().to_owned();
                self.names.0.insert(name, json!(hex::encode(signature.to_bytes())));
            }
            "send" => self.deposit(&text()).await,
            "contains" => {
                let page = &self.answer.as_ref().unwrap().text;
                for line in block.text.lines() {
                    assert!(page.contains(line), "{line:?} is not in {page}");
                }
            }
            "save" => {
                let file = self.world.stack.folder().join(block.text.trim());
                std::fs::write(file, &self.answer.as_ref().unwrap().text).unwrap();
            }
            "verify" => self.verify(&block.text),
            other => panic!("the test does not know what to do with a block of {other:?}"),
        }
    }

    /// Coins from outside to the borrower's address, and the wait for them.
    async fn deposit(&self, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [asset, amount, address] = words[..] else { panic!("{text}") };
        let amount: u128 = amount.parse().unwrap();
        self.world.send(asset, address, amount).await;
        let borrower = self.names.0["borrower"].as_str().unwrap();
        let path = format!("/v1/customers/{borrower}/balances");
        let key = self.names.0["tenant_key"].as_str().unwrap();
        let tenant = self.world.stack.tenant(key).unwrap();
        let is_there = |answer: &Value| crate::world::balance(answer, asset, "available") == amount;
        tenant.wait_for(&path, PATIENCE, is_there).await.unwrap();
    }

    fn verify(&mut self, files: &str) {
        let key = self.world.stack.log_key().unwrap();
        self.world.stack.kill_server();
        for name in files.lines() {
            let file = self.world.stack.folder().join(name);
            let (accepted, words) = self.world.stack.verify(&file, &key).unwrap();
            assert!(accepted, "{name}: {words}");
            let receipt = std::fs::read_to_string(&file).unwrap();
            assert!(receipt.contains("loan.repayment"), "{receipt}");
            std::fs::write(&file, receipt.replacen("loan.repayment", "loan.repaymenu", 1)).unwrap();
            let (accepted, _) = self.world.stack.verify(&file, &key).unwrap();
            assert!(!accepted, "a changed receipt was accepted");
        }
    }
}

async fn the_story_in_the_docs_is_true(engine: Engine) {
    let world = World::start(Setup::EVM.anchored().on(engine)).await;
    world.fill_treasury().await;
    let key = SigningKey::from_bytes(&[42; 32]);
    let public = json!(hex::encode(key.verifying_key().to_bytes()));
    let names = Names(BTreeMap::from([("borrower_key".to_owned(), public)]));
    let mut story = Story { world, names, key, answer: None };
    let blocks = blocks();
    assert!(blocks.len() > 60, "{} blocks", blocks.len());
    for (place, block) in blocks.iter().enumerate() {
        story.step(block, blocks.get(place + 1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_in_the_docs_is_true_on_sqlite() {
    the_story_in_the_docs_is_true(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_in_the_docs_is_true_on_postgresql() {
    the_story_in_the_docs_is_true(Engine::Postgres).await;
}
