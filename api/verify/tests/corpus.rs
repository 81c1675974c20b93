//! What the fuzzers found worth keeping, read again: `fuzz/run` makes it, `fuzz/corpus` keeps it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

#[expect(unreachable_pub, reason = "it is a library of the fuzzers")]
#[path = "../../../fuzz/src/lib.rs"]
mod targets;

type Target = fn(&[u8]);

#[test]
fn promise_39_no_kept_input_brings_the_readers_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let targets: [(&str, Target); 5] = [
        ("receipt", targets::receipt),
        ("note", targets::note),
        ("proof", targets::proof),
        ("tile", targets::tile),
        ("ots", targets::ots),
    ];
    for (name, target) in targets {
        let mut inputs = 0;
        for file in std::fs::read_dir(root.join(name)).unwrap() {
            target(&std::fs::read(file.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs > 10, "{name}: {inputs} inputs");
    }
}
