//! Precedence, defaults and refusals of the settings.

use super::*;

use clap::{Args as _, FromArgMatches as _};

fn resolve(dir: &tempfile::TempDir, flags: &RawSettings) -> Result<Settings, SettingsError> {
    with_variables(dir, flags, &RawSettings::default())
}

fn with_variables(
    dir: &tempfile::TempDir,
    flags: &RawSettings,
    variables: &RawSettings,
) -> Result<Settings, SettingsError> {
    Settings::resolve(dir.path().to_owned(), Given::of(flags, variables))
}

fn refusal(dir: &tempfile::TempDir, flags: &RawSettings) -> String {
    resolve(dir, flags).expect_err("these settings are invalid").to_string()
}

/// A command line of `weft node`, as far as it holds settings.
fn line(words: &[&str]) -> Result<Given, clap::Error> {
    let command = Given::augment_args(clap::Command::new("weft").no_binary_name(true));
    Given::from_arg_matches(&command.try_get_matches_from(words)?)
}

#[test]
fn a_flag_goes_before_its_variable_before_the_file_before_the_default() {
    let dir = tempfile::tempdir().unwrap();
    let file = "name = 'file'\nslots = 2\nmemory = '64MiB'\nmodule-limit = '128MiB'\nstore = 33554432\n[labels]\nrack = '1'\n";
    std::fs::write(dir.path().join("weft.toml"), file).unwrap();
    let variables = RawSettings {
        name: Some("environment".into()),
        slots: Some("3".into()),
        label: Some(vec!["rack=2".into(), "gpu=no".into()]),
        ..RawSettings::default()
    };
    let flags = RawSettings { name: Some("flag".into()), ..RawSettings::default() };
    let settings = with_variables(&dir, &flags, &variables).unwrap();
    assert_eq!(settings.name, "flag");
    assert_eq!(settings.slots, 3);
    assert_eq!(settings.labels, [("rack".into(), "2".into()), ("gpu".into(), "no".into())]);
    assert_eq!(settings.memory_bytes, 64 << 20);
    assert_eq!(settings.module_bytes, 128 << 20);
    assert_eq!(settings.store_bytes, 32 << 20);
    assert_eq!(settings.api.to_string(), "127.0.0.1:0");
    assert!(settings.mdns);
}

#[test]
fn an_unknown_key_is_named_with_the_known_ones() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("weft.toml"), "name = 'a'\nslot = 2\n").unwrap();
    let text = refusal(&dir, &RawSettings::default());
    assert!(text.contains("weft.toml, line 2: unknown key `slot`, expected one of `name`"), "{text}");
    assert!(text.contains("`slots`"), "{text}");
    assert!(!text.contains('\n'), "{text}");
}

#[test]
fn a_named_file_must_exist() {
    let dir = tempfile::tempdir().unwrap();
    let text =
        refusal(&dir, &RawSettings { config: Some(dir.path().join("none.toml")), ..RawSettings::default() });
    assert!(text.contains("none.toml"), "{text}");
}

#[test]
fn a_file_that_is_too_long_is_refused_and_not_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("weft.toml"), format!("slots = 1\n{}", "#".repeat(1 << 20))).unwrap();
    let text = refusal(&dir, &RawSettings::default());
    assert!(text.contains("it has more than 1 MiB"), "{text}");
}

#[test]
fn without_a_key_a_node_keeps_to_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let settings = resolve(&dir, &RawSettings::default()).unwrap();
    assert_eq!(settings.listen, ["/ip4/127.0.0.1/tcp/0"]);
    assert_eq!(settings.mesh_word(), "loopback");
    let text =
        refusal(&dir, &RawSettings { listen: Some(vec!["0.0.0.0:7117".into()]), ..RawSettings::default() });
    assert!(text.contains("weft init"), "{text}");
    let open = RawSettings {
        listen: Some(vec!["0.0.0.0:7000".into()]),
        open: Some("true".into()),
        ..RawSettings::default()
    };
    let settings = resolve(&dir, &open).unwrap();
    assert_eq!(settings.listen, ["/ip4/0.0.0.0/tcp/7000"]);
    assert!(!settings.listen_is_default);
}

#[test]
fn with_a_key_it_listens_on_the_default_port_and_refuses_open() {
    let dir = tempfile::tempdir().unwrap();
    let key = write_mesh_key(dir.path(), None).unwrap();
    let settings = resolve(&dir, &RawSettings::default()).unwrap();
    assert_eq!(settings.mesh_key, Some(key));
    assert_eq!(settings.listen, ["/ip4/0.0.0.0/tcp/7117", "/ip6/::/tcp/7117"]);
    assert!(settings.listen_is_default);
    let text = refusal(&dir, &RawSettings { open: Some("true".into()), ..RawSettings::default() });
    assert!(text.starts_with("`--open` contradicts the mesh key"), "{text}");
}

#[test]
fn wrong_values_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let raw = RawSettings::default;
    let text = |text: &str| Some(String::from(text));
    let list = |text: &str| Some(vec![String::from(text)]);
    let cases = [
        (
            RawSettings { api: text("0.0.0.0:80"), ..raw() },
            "`--api`: invalid value `0.0.0.0:80`: expected a loopback address",
        ),
        (RawSettings { memory: text("1Q"), ..raw() }, "`--memory`: invalid value `1Q`: expected a size"),
        (RawSettings { memory: text("1"), ..raw() }, "at least 1 MiB"),
        (RawSettings { label: list("x"), ..raw() }, "NAME=VALUE"),
        (RawSettings { label: list("node=1"), ..raw() }, "another name"),
        (RawSettings { peer: list("here"), ..raw() }, "`--peer`: invalid value `here`: expected"),
        (RawSettings { slots: text("1048576"), ..raw() }, "expected a whole number from 0 to 4096"),
        (
            RawSettings { open: text("perhaps"), ..raw() },
            "`--open`: invalid value `perhaps`: expected true or false",
        ),
        (RawSettings { name: text(""), ..raw() }, "name"),
    ];
    for (flags, expected) in cases {
        let text = refusal(&dir, &flags);
        assert!(text.contains(expected), "{text}");
    }
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "refused settings make no files");
}

#[test]
fn an_invalid_value_is_named_by_where_it_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let none = RawSettings::default();
    let said = |flags: &RawSettings, variables: &RawSettings| {
        with_variables(&dir, flags, variables).unwrap_err().to_string()
    };
    let lots = RawSettings { slots: Some("lots".into()), ..RawSettings::default() };
    let expected = "invalid value `lots`: expected a whole number from 0 to 4096";
    assert_eq!(said(&none, &lots), format!("`WEFT_SLOTS`: {expected}"));
    assert_eq!(said(&lots, &lots), format!("`--slots`: {expected}"));
    let limit = RawSettings { module_limit: Some("lots".into()), ..RawSettings::default() };
    assert!(said(&none, &limit).starts_with("`WEFT_MODULE_LIMIT`: invalid value `lots`: expected a size"));
    let exposed = RawSettings { listen: Some(vec!["0.0.0.0:7117".into()]), ..RawSettings::default() };
    assert!(said(&none, &exposed).starts_with("`WEFT_LISTEN`: a node without a mesh key listens on"));

    let file = dir.path().join("weft.toml");
    std::fs::write(&file, "[labels]\nnode = '1'\n").unwrap();
    let there = format!("`label` in {}: invalid value `node=1`", file.display());
    assert!(said(&none, &none).starts_with(&there), "{}", said(&none, &none));
    std::fs::write(&file, "slots = 'lots'\n").unwrap();
    assert_eq!(said(&none, &none), format!("`slots` in {}: {expected}", file.display()));
    std::fs::write(&file, "name = 'a'\nslots = true\n").unwrap();
    let text = said(&none, &none);
    assert!(text.contains("weft.toml, line 2: ") && text.contains("expected a whole number"), "{text}");
    std::fs::write(&file, "open = true\n").unwrap();
    write_mesh_key(dir.path(), None).unwrap();
    assert!(said(&none, &none).starts_with(&format!("`open` in {} contradicts", file.display())));
}

#[test]
fn accept_and_refuse_exclude_each_other_in_one_place_and_replace_each_other_across_places() {
    let dir = tempfile::tempdir().unwrap();
    let list = |digit: &str| Some(vec![digit.repeat(64)]);
    let accept = RawSettings { accept: list("1"), ..RawSettings::default() };
    let refuse = RawSettings { refuse: list("2"), ..RawSettings::default() };
    let both = RawSettings { accept: list("1"), refuse: list("2"), ..RawSettings::default() };
    let text = refusal(&dir, &both);
    assert!(text.contains("`--refuse`") && text.contains("either accept or refuse"), "{text}");
    let settings = with_variables(&dir, &refuse, &accept).unwrap();
    assert_eq!(settings.owners, Owners::AllBut(vec![weft_core::PeerId([0x22; 32])]));
    let settings = with_variables(&dir, &accept, &refuse).unwrap();
    assert_eq!(settings.owners, Owners::Only(vec![weft_core::PeerId([0x11; 32])]));
}

#[test]
fn a_setting_has_one_name_as_flag_variable_and_key() {
    let command = RawSettings::augment_args(clap::Command::new("weft"));
    let every: Vec<&clap::Arg> =
        command.get_arguments().filter(|flag| flag.get_long() != Some("no-mdns")).collect();
    for flag in &every {
        let name = flag.get_long().unwrap();
        assert_eq!(flag.get_env().and_then(|name| name.to_str()), Some(variable_of(name).as_str()));
        assert!(flag.is_hide_env_values_set(), "--{name}: the help of two users is the same");
        assert_eq!(flag.get_id().as_str(), name.replace('-', "_"));
    }
    let error = toml::from_str::<RawSettings>("none = 1").unwrap_err().to_string();
    for flag in every.iter().filter_map(|flag| flag.get_long()).filter(|name| *name != "config") {
        assert!(error.contains(&format!("`{flag}`")), "{flag} is not a key of the file: {error}");
    }
}

#[test]
fn the_page_on_operations_lists_every_setting() {
    let page = include_str!("../../../docs/operations.md");
    let command = RawSettings::augment_args(clap::Command::new("weft"));
    for flag in command.get_arguments().filter(|flag| flag.get_env().is_some()) {
        let name = flag.get_long().unwrap();
        let row = format!("| `--{name}` | `{}` | ", variable_of(name));
        assert!(page.contains(&row), "docs/operations.md has no row `{row}`");
    }
}

#[test]
fn flags_are_read_as_people_write_them() {
    let dir = tempfile::tempdir().unwrap();
    let settings = |words: &[&str]| Settings::resolve(dir.path().to_owned(), line(words).unwrap()).unwrap();
    assert!(settings(&[]).mdns && !settings(&[]).open);
    assert!(!settings(&["--no-mdns"]).mdns && !settings(&["--mdns=false"]).mdns);
    assert!(settings(&["--open"]).open && !settings(&["--open=no"]).open);
    let labels = settings(&["--label", "a=1,2", "--label", "b="]).labels;
    assert_eq!(labels, [("a".into(), "1,2".into()), ("b".into(), String::new())]);
    assert_eq!(settings(&["--slots", "3", "--name", "x"]).slots, 3);
}

#[test]
fn lists_in_variables_are_separated_by_commas() {
    let mut value = toml::Value::from(vec!["rack=2, gpu=no,"]);
    layer::split_list(&mut value);
    assert_eq!(value, toml::Value::from(vec!["rack=2", "gpu=no"]));
}

#[test]
fn the_identity_is_made_once_and_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let first = resolve(&dir, &RawSettings::default()).unwrap();
    let second = resolve(&dir, &RawSettings::default()).unwrap();
    assert_eq!(first.identity, second.identity);
    let mode = std::fs::metadata(dir.path().join("identity.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!format!("{first:?}").contains("identity"));
}

#[test]
fn a_new_identity_sets_the_journal_of_the_former_one_aside() {
    let dir = tempfile::tempdir().unwrap();
    let entries = || {
        let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| name.starts_with("journal"));
        names.sort();
        names
    };
    let first = load_or_make_identity(dir.path()).unwrap();
    for number in 0..3 {
        std::fs::create_dir(dir.path().join("journal")).unwrap();
        std::fs::write(dir.path().join("journal/journal.db"), [number]).unwrap();
        load_or_make_identity(dir.path()).unwrap();
        assert!(dir.path().join("journal").exists(), "the identity is not new");
        std::fs::remove_file(dir.path().join("identity.key")).unwrap();
        assert_ne!(load_or_make_identity(dir.path()).unwrap(), first);
    }
    assert_eq!(entries(), ["journal.former", "journal.former.2", "journal.former.3"]);
    assert_eq!(std::fs::read(dir.path().join("journal.former.2/journal.db")).unwrap(), [1]);
    // The journal of a node that runs is its own.
    std::fs::create_dir(dir.path().join("journal")).unwrap();
    std::fs::remove_file(dir.path().join("identity.key")).unwrap();
    let held = lock(dir.path()).unwrap();
    load_or_make_identity(dir.path()).unwrap();
    assert!(dir.path().join("journal").exists());
    drop(held);
}

#[test]
fn a_directory_is_held_by_one_node() {
    let dir = tempfile::tempdir().unwrap();
    let held = lock(dir.path()).unwrap();
    assert!(is_held(dir.path()));
    let text = lock(dir.path()).expect_err("it is held").to_string();
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
    drop(held);
    drop(lock(dir.path()).unwrap());
    assert!(!is_held(dir.path()));
    let none = dir.path().join("none");
    assert!(!is_held(&none) && !none.exists());
}

#[test]
fn a_directory_of_another_version_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("version");
    for (noted, words) in [
        ("2\n", ["data directory of version 2", "reads version 1", "--data-dir"]),
        ("4294967295", ["of version 4294967295", "a newer weft has used it", "--data-dir"]),
        ("0", ["does not hold the version", "a whole number from 1", "restore the file"]),
        ("", ["does not hold the version", "such as 1", "restore the file"]),
        ("one", ["does not hold the version", "such as 1", "restore the file"]),
        ("99999999999999999999999999999999999999", ["does not hold the version", "such as 1", "--data-dir"]),
    ] {
        std::fs::write(&file, noted).unwrap();
        let refused = [
            refusal(&dir, &RawSettings::default()),
            lock(dir.path()).unwrap_err().to_string(),
            read_mesh_key(dir.path()).unwrap_err().to_string(),
            load_or_make_identity(dir.path()).unwrap_err().to_string(),
        ];
        for text in refused {
            assert!(
                words.iter().all(|word| text.contains(word)) && !text.contains('\n'),
                "{noted:?}: {text}"
            );
        }
        assert!(!dir.path().join("identity.key").exists(), "{noted:?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), noted);
    }
    std::fs::write(&file, [0xff, 0xfe]).unwrap();
    assert!(refusal(&dir, &RawSettings::default()).contains("does not hold the version"));
}

#[test]
fn a_directory_from_before_there_was_a_version_is_taken_with_all_that_is_in_it_and_notes_one() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("identity.key"), format!("{}\n", "07".repeat(32))).unwrap();
    std::fs::write(dir.path().join("mesh.key"), format!("{}\n", "08".repeat(32))).unwrap();
    let settings = resolve(&dir, &RawSettings::default()).unwrap();
    assert_eq!((settings.identity, settings.mesh_key), ([7; 32], Some([8; 32])));
    let held = lock(dir.path()).unwrap();
    let file = dir.path().join("version");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "1\n");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    drop(held);
    drop(lock(dir.path()).unwrap());
    assert_eq!(resolve(&dir, &RawSettings::default()).unwrap().identity, [7; 32]);
}

#[test]
fn joined_peers_are_added_or_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let first = vec![String::from("/ip4/10.0.0.1/tcp/7117")];
    let second = vec![String::from("/ip4/10.0.0.2/tcp/7117")];
    add_joined_peers(dir.path(), &first, false).unwrap();
    add_joined_peers(dir.path(), &second, false).unwrap();
    let settings = resolve(&dir, &RawSettings::default()).unwrap();
    assert_eq!(settings.peers, [second[0].clone(), first[0].clone()]);
    add_joined_peers(dir.path(), &first, true).unwrap();
    assert_eq!(joined_peers(dir.path()).unwrap(), first);
}

#[test]
fn texts_are_read_as_people_write_them() {
    assert_eq!(parse_pair("a=b=c"), Ok(("a".into(), "b=c".into())));
    assert_eq!(parse_address("[::1]:80"), Ok("/ip6/::1/tcp/80".into()));
    assert!(parse_address("/ip4/1.2.3.4/udp/80").is_err());
    assert_eq!(parse_address("anna.lan:7117"), Ok("/dns/anna.lan/tcp/7117".into()));
    assert_eq!(parse_address("/dns4/anna/tcp/7117"), Ok("/dns4/anna/tcp/7117".into()));
    assert!(parse_address("192.168.1.999:7117").is_err(), "a mistyped IP is not a host name");
    assert!(parse_own_address("anna.lan:7117").is_err(), "a name may be another machine's");
    assert_eq!(parse_own_address("0.0.0.0:80"), Ok("/ip4/0.0.0.0/tcp/80".into()));
}

#[test]
fn a_wrong_address_is_told_with_what_is_taken_there_and_what_is_wrong_about_its_port() {
    let own = |text: &str| parse_own_address(text).unwrap_err();
    let peer = |text: &str| parse_address(text).unwrap_err();
    let place = |text: &str| text.parse::<Place>().unwrap_err();
    for wrong in ["10.77.0.1", "10.77.0.1:80000", "anna.lan:7117", "anna.lan", "x y"] {
        let said = own(wrong);
        assert!(said.starts_with("IP:PORT with an IP of this machine") && !said.contains("HOST"), "{said}");
    }
    for said in [own("10.77.0.1"), peer("10.77.0.1"), place("10.77.0.1")] {
        assert!(said.ends_with("; the port is missing, as in 10.77.0.1:7117"), "{said}");
    }
    assert!(own("::1").ends_with("; the port is missing, as in [::1]:7117"));
    assert!(peer("anna.lan").ends_with("; the port is missing, as in anna.lan:7117"));
    for said in [own("10.77.0.1:80000"), own("[::1]:80000"), peer("anna.lan:80000"), place("10.0.0.1:65536")]
    {
        assert!(said.ends_with("; a port is at most 65535"), "{said}");
    }
    for said in [own("anna.lan"), own("anna.lan:7117"), peer("10.77.0.1:http"), peer("192.168.1.999:7117")] {
        assert!(!said.contains("port is"), "{said}");
    }
}

#[test]
fn a_link_local_address_comes_with_its_interface_or_is_refused_with_the_reason() {
    let parsed = parse_address("[fe80::1%eth0]:7117").unwrap();
    assert_eq!(parsed, "/ip6zone/eth0/ip6/fe80::1/tcp/7117");
    assert_eq!(parse_address(&parsed).as_ref(), Ok(&parsed));
    for bare in ["[fe80::1]:7117", "/ip6/fe80::1/tcp/7117"] {
        let expected = parse_address(bare).unwrap_err();
        assert!(expected.contains("[fe80::1%eth0]:7117"), "{expected}");
    }
    assert!(is_only_local("[fe80::1]:7117") && !is_only_local("[fd77::1]:7117"));
    let dir = tempfile::tempdir().unwrap();
    let listen = Some(vec!["[fe80::1%eth0]:7117".into()]);
    let flags = RawSettings { listen, open: Some("true".into()), ..RawSettings::default() };
    let text = refusal(&dir, &flags);
    assert!(text.contains("[::]:7117"), "{text}");
}
