//! The programs that end-to-end tests start.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

#[tokio::test]
async fn the_programs_are_built_and_explain_themselves() {
    let binaries = testnets::binaries().await.unwrap();
    for program in [&binaries.roadstead, &binaries.signer, &binaries.verify] {
        let output = Command::new(program).arg("--help").output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", program.display());
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("Usage"), "{}: {help}", program.display());
    }
    // The second time there is nothing left to do.
    let again = testnets::binaries().await.unwrap();
    assert_eq!(again.roadstead, binaries.roadstead);
}
