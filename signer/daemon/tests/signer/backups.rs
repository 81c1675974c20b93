//! Promise 9: a backup restores everything, and an old one signs nothing until it is reconciled.

use signer_daemon::backup::{Backup, back_up, drill, file_name, newest_in};
use signer_daemon::{Config, Engine, Exported};
use signer_protocol::{CheckpointRequest, Hello, RefusalCode, Request, Response, VERSION};

use crate::common::*;

fn restored(place: &Place, name: &str, to: &str) -> Place {
    let backup = Backup::open(&place.path(name), PASSPHRASE).unwrap();
    let other = Place::empty();
    let config = Config {
        state_dir: other.path(to).join("state"),
        high_water_dir: other.path(to).join("mark"),
        ..other.config.clone()
    };
    backup.restore(&config).unwrap();
    Place { config, ..other }
}

fn reconcile(engine: &mut Engine, export: &[Exported]) -> signer_daemon::Imported {
    engine.reconcile(export, Vec::new(), "restored in a test".to_owned()).unwrap()
}

#[test]
fn promise_09_a_backup_restores_addresses_and_sign_once_state() {
    let place = Place::new();
    let mut engine = place.engine();
    let requests = three(&mut engine);
    let signed: Vec<_> =
        requests.iter().map(|request| sign(&mut engine, request).unwrap()).collect();
    let manifest =
        back_up(&place.config, PASSPHRASE, &place.path("b.roadstead-backup"), START).unwrap();
    assert_eq!(manifest.head, engine.head());

    let copy = restored(&place, "b.roadstead-backup", "copy");
    let mut other = copy.engine();
    assert_eq!(refused(&mut other, &requests[0]), RefusalCode::JournalRolledBack);
    std::fs::create_dir_all(&copy.config.high_water_dir).unwrap();
    reconcile(&mut other, &[]);
    for (request, signed) in requests.iter().zip(&signed) {
        assert_eq!(sign(&mut other, request).unwrap().signatures, signed.signatures);
    }
    let conflicting = evm_withdrawal(&mut other, 77, 0, 5);
    assert_eq!(refused(&mut other, &conflicting), RefusalCode::Conflict);
    let again = issue(&mut other, EVM, "bip44-evm/0/0/0");
    assert_eq!(again, requests[0].unsigned.signers[0]);
    drop(other);
    let mut other = copy.engine();
    sign(&mut other, &requests[0]).unwrap();
}

#[test]
fn promise_09_an_old_backup_signs_nothing_until_reconciled() {
    let place = Place::new();
    let mut engine = place.engine();
    let [evm, bitcoin, solana] = three(&mut engine);
    sign(&mut engine, &evm).unwrap();
    back_up(&place.config, PASSPHRASE, &place.path("old"), START).unwrap();
    let later = sign(&mut engine, &bitcoin).unwrap();
    let checkpoint = CheckpointRequest { origin: ORIGIN.to_owned(), size: 4, root: [4; 32] };
    let note = match engine.handle(&Request::Checkpoint(checkpoint.clone())) {
        Response::Checkpoint(signed) => signed.note,
        other => panic!("{other:?}"),
    };
    let newest = engine.head();
    drop(engine);

    // The disk is lost, and the mark is not.
    std::fs::remove_dir_all(&place.config.state_dir).unwrap();
    Backup::open(&place.path("old"), PASSPHRASE).unwrap().restore(&place.config).unwrap();
    let mut engine = place.engine();
    let address = signer_protocol::AddressRequest {
        chain: chain(EVM),
        key: "bip44-evm/99/0/0".parse().unwrap(),
    };
    let freeze = signer_protocol::FreezeRequest {
        asset: None,
        account: None,
        reason: "it must not touch the mark".to_owned(),
    };
    for request in [
        Request::Sign(Box::new(solana.clone())),
        Request::Sign(Box::new(evm.clone())),
        Request::Checkpoint(checkpoint.clone()),
        Request::Address(address),
        Request::Freeze(freeze),
    ] {
        let Response::Refused(refusal) = engine.handle(&request) else { panic!("{request:?}") };
        assert_eq!(refusal.code, RefusalCode::JournalRolledBack);
        assert!(refusal.detail.contains("reconcile"), "{refusal}");
    }
    drop(engine);
    let mut engine = place.engine();
    assert_eq!(refused(&mut engine, &solana), RefusalCode::JournalRolledBack, "still");

    // A forged export is refused, and what came before it does not count as reconciled.
    let exported = Exported::Signed {
        request: Box::new(bitcoin.clone()),
        signatures: later.signatures.clone(),
    };
    let mut forged = later.signatures.clone();
    forged[0].bytes[7] ^= 1;
    let forged = Exported::Signed { request: Box::new(solana.clone()), signatures: forged };
    let wrong_note =
        Exported::Checkpoint { request: checkpoint.clone(), note: note.replace('4', "5") };
    for bad in [forged, wrong_note] {
        let export = [exported.clone(), bad];
        assert!(engine.reconcile(&export, Vec::new(), "forged".to_owned()).is_err());
        assert_eq!(refused(&mut engine, &solana), RefusalCode::JournalRolledBack);
        drop(engine);
        engine = place.engine();
        assert_eq!(refused(&mut engine, &solana), RefusalCode::JournalRolledBack);
    }
    let noted = Exported::Checkpoint { request: checkpoint, note };
    let imported = reconcile(&mut engine, &[exported, noted]);
    assert_eq!((imported.new, imported.known), (1, 1), "one was imported before the forged one");

    // What was signed after the backup is bound again, and the lost head is forgiven.
    let hello = Request::Hello(Hello { version: VERSION, journal_seen: Some(newest) });
    assert!(matches!(engine.handle(&hello), Response::Hello(_)));
    let other = bitcoin_withdrawal(&mut engine, 50, &[(1, 1_000_000)], 200_000);
    assert_eq!(refused(&mut engine, &other), RefusalCode::Conflict);
    assert_eq!(sign(&mut engine, &bitcoin).unwrap().signatures, later.signatures);
    sign(&mut engine, &solana).unwrap();
}

#[test]
fn promise_09_the_drill_derives_every_issued_address_again() {
    let place = Place::new();
    let mut engine = place.engine();
    for index in 0..5 {
        issue(&mut engine, EVM, &format!("bip44-evm/16/0/{index}"));
        issue(&mut engine, BITCOIN, &format!("bip84/16/0/{index}"));
        issue(&mut engine, SOLANA, &format!("slip10-solana/16/0/{index}"));
    }
    let backups = place.path("backups");
    std::fs::create_dir(&backups).unwrap();
    back_up(&place.config, PASSPHRASE, &backups.join(file_name(START - 1_000)), START - 1_000)
        .unwrap();
    back_up(&place.config, PASSPHRASE, &backups.join(file_name(START)), START).unwrap();
    let newest = newest_in(&backups).unwrap();
    issue(&mut engine, EVM, "bip44-evm/16/0/5");
    let report = drill(&place.config, &newest, PASSPHRASE, START + 60).unwrap();
    assert!(report.ok, "{report:?}");
    assert_eq!((report.issued, report.rederived, report.age_seconds), (15, 15, 60));
    assert_eq!((report.issued_since, report.records_since), (Some(1), Some(1)));
    assert!(drill(&place.config, &newest, b"another passphrase", START).is_err());

    // The backup of another seed does not pass for this signer's.
    let stranger = Place::new();
    issue(&mut stranger.engine(), EVM, "bip44-evm/18/0/0");
    back_up(&stranger.config, PASSPHRASE, &backups.join(file_name(START + 1)), START).unwrap();
    let report = drill(&place.config, &newest_in(&backups).unwrap(), PASSPHRASE, START).unwrap();
    assert!(!report.ok);
}

#[test]
fn promise_05_a_changed_backup_is_refused_and_none_is_overwritten() {
    let place = Place::new();
    issue(&mut place.engine(), EVM, "bip44-evm/0/0/0");
    let path = place.path("b");
    back_up(&place.config, PASSPHRASE, &path, START).unwrap();
    assert!(back_up(&place.config, PASSPHRASE, &path, START).is_err(), "it is there already");
    let other = place.path("c");
    assert!(back_up(&place.config, b"not the passphrase", &other, START).is_err());
    assert!(!other.exists());
    let backup = Backup::open(&path, PASSPHRASE).unwrap();
    assert!(backup.restore(&place.config).is_err(), "the folder is in use");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("bip44-evm"), "addresses are not in the clear");
    for changed in [
        text.replace("\"manifest\"", "\"journal\""),
        text.replace("\"passes\":3", "\"passes\":4"),
        text.replace("roadstead-backup", "roadstead-keystore"),
        text[..text.len() - 2].to_owned(),
    ] {
        assert_ne!(changed, text);
        write_private(&path, &changed);
        assert!(Backup::open(&path, PASSPHRASE).is_err());
    }
}
