//! What the simulated disk keeps and loses.

use std::collections::BTreeSet;

use super::*;

fn written(disk: &SimDisk, name: &str, bytes: &[u8], sync: bool) -> Box<dyn WriteFile> {
    let mut file = disk.create(name).unwrap();
    file.write_all(bytes).unwrap();
    if sync {
        file.sync().unwrap();
    }
    file
}

#[test]
fn a_synced_file_without_a_synced_name_may_be_lost_and_with_one_never_is() {
    let disk = SimDisk::new();
    written(&disk, "a", b"one", true);
    let found: BTreeSet<bool> = (0..50).map(|s| disk.crashed(s).files().contains_key("a")).collect();
    assert_eq!(found.len(), 2);
    disk.sync_dir().unwrap();
    disk.rename("a", "b").unwrap();
    for seed in 0..50 {
        let files = disk.crashed(seed).files();
        let name = if files.contains_key("b") { "b" } else { "a" };
        assert_eq!(files.len(), 1);
        assert_eq!(files[name], b"one");
    }
    disk.remove("b").unwrap();
    let states: BTreeSet<Vec<String>> =
        (0..100).map(|s| disk.crashed(s).files().into_keys().collect()).collect();
    assert_eq!(states.len(), 3, "either name or none: {states:?}");
}

#[test]
fn sectors_of_an_unsynced_write_survive_in_any_combination_and_synced_bytes_always() {
    let disk = SimDisk::new();
    let mut file = written(&disk, "a", &[7; 300], true);
    disk.sync_dir().unwrap();
    file.write_all(&[9; 2000]).unwrap();
    let (mut sizes, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..2000 {
        let files = disk.crashed(seed).files();
        let bytes = &files["a"];
        assert!(bytes[..300].iter().all(|b| *b == 7));
        sizes.insert(bytes.len());
        let sectors: Vec<u8> =
            [300, 512, 1024, 1536, 2048].iter().filter_map(|at| bytes.get(*at)).copied().collect();
        kinds.insert(sectors);
    }
    assert!(sizes.contains(&300) && sizes.contains(&2300) && sizes.len() >= 4, "{sizes:?}");
    assert!(kinds.contains(&vec![9, 0, 9, 9, 0]) && kinds.contains(&vec![0xaa; 5]) && kinds.len() > 60);
}

#[test]
fn power_and_faults_strike_where_they_are_told_to() {
    let disk = SimDisk::new();
    disk.power_off_after(1);
    let mut file = disk.create("a").unwrap();
    assert_eq!(file.write_all(b"x").unwrap_err().kind(), ErrorKind::Io);
    assert!(disk.is_off() && file.sync().is_err() && disk.open("a").is_err() && disk.sync_dir().is_err());

    let disk = SimDisk::new();
    disk.fail_at(1, Fault::SyncError);
    let mut file = written(&disk, "a", b"one", true);
    disk.sync_dir().unwrap();
    file.write_all(b"two").unwrap();
    assert!(!disk.struck() && file.sync().is_err() && disk.struck());
    assert_eq!(&*disk.open("a").unwrap(), b"onetwo");
    file.write_all(b"six").unwrap();
    file.sync().unwrap();
    assert_eq!(disk.crashed(1).files()["a"], b"one\0\0\0six", "a later sync does not bring it back");

    disk.set_free(2);
    assert_eq!(file.write_all(b"123").unwrap_err().kind(), ErrorKind::Full);
    let lock = disk.lock().unwrap();
    assert_eq!(disk.clone().lock().map(drop).unwrap_err().kind(), ErrorKind::Locked);
    drop(lock);
    assert!(disk.lock().is_ok());
}
