//! The witness by its protocol: what it cosigns, what it refuses and how, and that it never takes
//! anything back, whenever it is killed.
#![expect(clippy::unwrap_used, reason = "tests")]

mod kill;
mod log;

use std::sync::Arc;

use api_verify::note::VerifierKey;
use api_witness::client::{Answer, ClientError, Remote};
use api_witness::store::{Store, StoreError};
use api_witness::{AddCheckpoint, Refusal, Witness, http};
use proptest::prelude::*;
use tempfile::TempDir;

use log::{HONEST, Log};

struct Setup {
    folder: TempDir,
    witness: Arc<Witness>,
}

fn setup() -> Setup {
    let folder = TempDir::new().unwrap();
    Store::init(folder.path(), "witness.example/w1").unwrap();
    let (store, key) = Store::open(folder.path()).unwrap();
    store.add_log(&HONEST.verifier_key().parse().unwrap()).unwrap();
    Setup { folder, witness: Arc::new(Witness::new(store, key)) }
}

impl Setup {
    fn ask(&self, body: &str) -> Result<String, Refusal> {
        self.witness.add_checkpoint(&body.parse()?)
    }

    /// What a witness over the same folder says after this one has gone.
    fn restarted(self) -> Self {
        let Self { folder, witness } = self;
        drop(witness);
        let (store, key) = Store::open(folder.path()).unwrap();
        Self { folder, witness: Arc::new(Witness::new(store, key)) }
    }

    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = http::serve(listener, Arc::clone(&self.witness), std::future::pending());
        tokio::spawn(served);
        url
    }

    fn key(&self) -> VerifierKey {
        self.witness.verifier_key().parse().unwrap()
    }
}

fn request(log: Log, from: u64, to: u64) -> AddCheckpoint {
    log.body(from, to).parse().unwrap()
}

#[test]
fn requests_are_read_as_they_are_written() {
    for (from, to) in [(0, 1), (0, 9), (3, 9), (8, 8), (8, 21)] {
        let read = request(HONEST, from, to);
        assert_eq!(
            read,
            AddCheckpoint::new(from, HONEST.proof(from, to), &HONEST.note(to)).unwrap()
        );
        assert_eq!(read.body(), HONEST.body(from, to));
    }
    let note = HONEST.note(3);
    let long =
        format!("old 1\n{}\n{note}", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".repeat(64));
    for wrong in [
        "",
        "old 1",
        "old 1\n\n",
        &note,
        &long,
        &format!("old -1\n\n{note}"),
        &format!("old 01\n\n{note}"),
        &format!("old 1 \n\n{note}"),
        &format!("new 1\n\n{note}"),
        &format!("old 1\nAAAA\n\n{note}"),
        &format!("old 1\r\n\n{note}"),
        &format!("old 1\n\n{}", note.trim_end()),
    ] {
        assert!(matches!(wrong.parse::<AddCheckpoint>(), Err(Refusal::Malformed(_))), "{wrong:?}");
    }
}

#[test]
fn promise_39_a_witness_cosigns_growth_and_nothing_else() {
    let setup = setup();
    setup.ask(&HONEST.body(0, 5)).unwrap();
    setup.ask(&HONEST.body(5, 5)).unwrap();
    setup.ask(&HONEST.body(5, 13)).unwrap();
    let fork = Log { fork: 7, ..HONEST };
    let other_key = Log { key: 9, ..HONEST };
    let good = HONEST.body(13, 20);
    let forged = good.replace("— log.example/test ", "— log.example/test A").replace("=\n", "A=\n");
    assert!(matches!(setup.ask(&other_key.body(13, 20)), Err(Refusal::NotSigned)));
    assert!(setup.ask(&forged).is_err());
    assert!(matches!(setup.ask(&HONEST.body(0, 20)), Err(Refusal::OtherSize(13))));
    assert!(matches!(setup.ask(&HONEST.body(5, 13)), Err(Refusal::OtherSize(13))));
    let back = format!("old 13\n\n{}", HONEST.note(5));
    assert!(matches!(setup.ask(&back), Err(Refusal::OldTooLarge)));
    assert!(matches!(setup.ask(&fork.body(13, 13)), Err(Refusal::OtherRoot)));
    assert!(matches!(setup.ask(&fork.body(13, 20)), Err(Refusal::NotConsistent)));
    let no_proof = format!("old 13\n\n{}", HONEST.note(20));
    assert!(matches!(setup.ask(&no_proof), Err(Refusal::NotConsistent)));
    let unknown = good.replace("log.example/test\n20", "log.example/other\n20");
    assert!(matches!(setup.ask(&unknown), Err(Refusal::UnknownLog(_))));
    setup.ask(&good).unwrap();
    let setup = setup.restarted();
    assert!(matches!(setup.ask(&fork.body(20, 20)), Err(Refusal::OtherRoot)));
    assert!(matches!(setup.ask(&good), Err(Refusal::OtherSize(20))));
    setup.ask(&HONEST.body(20, 21)).unwrap();
}

#[test]
fn the_folder_is_held_by_one_process_and_must_be_whole() {
    let setup = setup();
    assert!(matches!(Store::open(setup.folder.path()), Err(StoreError::Locked)));
    assert!(Store::init(setup.folder.path(), "witness.example/w2").is_err());
    setup.ask(&HONEST.body(0, 5)).unwrap();
    let file = std::fs::read_dir(setup.folder.path().join("logs")).unwrap().next().unwrap();
    let file = file.unwrap().path();
    let whole = std::fs::read_to_string(&file).unwrap();
    for damaged in
        [whole.replace("\"size\": 5", "\"size\": 4"), whole[..whole.len() / 2].to_owned()]
    {
        std::fs::write(&file, damaged).unwrap();
        assert!(matches!(setup.ask(&HONEST.body(4, 9)), Err(Refusal::Store(_))));
    }
    std::fs::write(&file, &whole).unwrap();
    setup.ask(&HONEST.body(5, 9)).unwrap();
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = std::fs::metadata(setup.folder.path().join(name)).unwrap();
        metadata.permissions().mode() & 0o077
    };
    assert_eq!((mode("key"), mode("logs")), (0, 0));
}

#[test]
fn of_two_requests_from_one_size_one_is_cosigned() {
    let setup = setup();
    setup.ask(&HONEST.body(0, 3)).unwrap();
    for round in 0..20_u64 {
        let from = 3 + round * 10;
        let ask = |to: u64| {
            let (witness, body) = (Arc::clone(&setup.witness), HONEST.body(from, to));
            std::thread::spawn(move || witness.add_checkpoint(&body.parse().unwrap()).is_ok())
        };
        let asked = [ask(from + 10), ask(from + 4)];
        let cosigned = asked.map(|thread| thread.join().unwrap());
        assert_eq!(cosigned.iter().filter(|done| **done).count(), 1, "{cosigned:?}");
        if cosigned[1] {
            setup.ask(&HONEST.body(from + 4, from + 10)).unwrap();
        }
    }
}

#[tokio::test]
async fn over_http_each_refusal_has_the_status_of_the_specification() {
    let setup = setup();
    let url = setup.serve().await;
    let remote = Remote::new(&url, setup.key()).unwrap();
    let Answer::Cosigned { line, time } =
        remote.add_checkpoint(&request(HONEST, 0, 5)).await.unwrap()
    else {
        panic!("not cosigned");
    };
    assert!(line.starts_with("— witness.example/w1 ") && time > 1_700_000_000);
    assert_eq!(remote.add_checkpoint(&request(HONEST, 0, 9)).await.unwrap(), Answer::AtSize(5));
    let fork = Log { fork: 2, ..HONEST };
    for (body, wanted) in [
        (request(fork, 5, 9), 422),
        (request(fork, 5, 5), 409),
        (request(Log { key: 8, ..HONEST }, 5, 9), 403),
        (AddCheckpoint::new(5, Vec::new(), &HONEST.note(4)).unwrap(), 400),
        (AddCheckpoint::new(0, Vec::new(), &HONEST.note(9).replace("/test", "/x")).unwrap(), 404),
    ] {
        let answer = remote.add_checkpoint(&body).await;
        let Err(ClientError::Refused { status, .. }) = answer else { panic!("{answer:?}") };
        assert_eq!(status, wanted);
    }
    let other = Store::init(TempDir::new().unwrap().path(), "witness.example/w1").unwrap();
    let mistaken = Remote::new(&url, other.parse().unwrap()).unwrap();
    let answer = mistaken.add_checkpoint(&request(HONEST, 5, 9)).await;
    assert!(matches!(answer, Err(ClientError::Answer(_))), "{answer:?}");
    let nobody = Remote::new("http://127.0.0.1:1/secret", setup.key()).unwrap();
    let answer = nobody.add_checkpoint(&request(HONEST, 9, 9)).await.unwrap_err().to_string();
    assert!(answer.starts_with("the witness cannot be reached") && !answer.contains("secret"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever is asked, in whatever order, the checkpoints that are cosigned form one growing log.
    #[test]
    fn what_is_cosigned_never_contradicts_itself(
        asked in proptest::collection::vec((0_u64..40, 0_u64..40, 0_u64..40, any::<bool>()), 1..25),
    ) {
        let setup = setup();
        let mut last: Option<AddCheckpoint> = None;
        for (from, to, fork, follow) in asked {
            let size = last.as_ref().map_or(0, |last| last.checkpoint.size);
            let from = if follow { size } else { from };
            let log = Log { fork, ..HONEST };
            let Ok(request) = log.body(from, to).parse::<AddCheckpoint>() else { continue };
            if setup.witness.add_checkpoint(&request).is_err() { continue }
            prop_assert!(request.checkpoint.size >= size);
            if let Some(last) = &last {
                let (old, new) = (&last.checkpoint, &request.checkpoint);
                let same = old.size == 0
                    || api_verify::merkle::verify_consistency(
                        old.size, new.size, &old.root, &new.root, &request.proof,
                    ).is_ok();
                prop_assert!(same, "{last:?} {request:?}");
            }
            last = Some(request);
        }
    }
}
