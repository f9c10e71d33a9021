//! Precedence, defaults and refusals of the settings.

use super::*;

fn nothing(_name: &str) -> Option<String> {
    None
}

fn flags_in(dir: &tempfile::TempDir) -> Flags {
    Flags { data_dir: Some(dir.path().to_owned()), ..Flags::default() }
}

fn refusal(flags: Flags) -> String {
    Settings::resolve(flags, &nothing).expect_err("these settings are no good").to_string()
}

#[test]
fn flags_beat_environment_beats_file_beats_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let file = "name = 'file'\nslots = 2\nmemory = '64MiB'\nmodule-limit = '128MiB'\nstore = 33554432\n[labels]\nrack = '1'\n";
    std::fs::write(dir.path().join("weft.toml"), file).unwrap();
    let environment = |name: &str| match name {
        "WEFT_NAME" => Some(String::from("environment")),
        "WEFT_SLOTS" => Some(String::from("3")),
        "WEFT_LABEL" => Some(String::from("rack=2, gpu=no")),
        _ => None,
    };
    let flags = Flags { name: Some("flag".into()), ..flags_in(&dir) };
    let settings = Settings::resolve(flags, &environment).unwrap();
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
    let text = refusal(flags_in(&dir));
    assert!(text.contains("weft.toml, line 2: unknown key `slot`, expected one of `name`"), "{text}");
    assert!(text.contains("`slots`"), "{text}");
    assert!(!text.contains('\n'), "{text}");
}

#[test]
fn a_named_file_must_exist() {
    let dir = tempfile::tempdir().unwrap();
    let text = refusal(Flags { config: Some(dir.path().join("none.toml")), ..flags_in(&dir) });
    assert!(text.contains("none.toml"), "{text}");
}

#[test]
fn without_a_key_a_node_keeps_to_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::resolve(flags_in(&dir), &nothing).unwrap();
    assert_eq!(settings.listen, ["/ip4/127.0.0.1/tcp/0"]);
    assert_eq!(settings.mesh_word(), "loopback");
    let text = refusal(Flags { listen: vec!["0.0.0.0:7117".into()], ..flags_in(&dir) });
    assert!(text.contains("weft init"), "{text}");
    let open = Flags { listen: vec!["0.0.0.0:7000".into()], open: true, ..flags_in(&dir) };
    let settings = Settings::resolve(open, &nothing).unwrap();
    assert_eq!(settings.listen, ["/ip4/0.0.0.0/tcp/7000"]);
    assert!(!settings.listen_is_default);
}

#[test]
fn with_a_key_it_listens_on_the_default_port_and_refuses_open() {
    let dir = tempfile::tempdir().unwrap();
    let key = write_mesh_key(dir.path(), None).unwrap();
    let settings = Settings::resolve(flags_in(&dir), &nothing).unwrap();
    assert_eq!(settings.mesh_key, Some(key));
    assert_eq!(settings.listen, ["/ip4/0.0.0.0/tcp/7117", "/ip6/::/tcp/7117"]);
    assert!(settings.listen_is_default);
    let text = refusal(Flags { open: true, ..flags_in(&dir) });
    assert!(text.contains("--open contradicts"), "{text}");
}

#[test]
fn wrong_values_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        (
            Flags { api: Some("0.0.0.0:80".into()), ..flags_in(&dir) },
            "`--api`: invalid value `0.0.0.0:80`: expected a loopback address",
        ),
        (
            Flags { memory: Some("1Q".into()), ..flags_in(&dir) },
            "`--memory`: invalid value `1Q`: expected a size",
        ),
        (Flags { memory: Some("1".into()), ..flags_in(&dir) }, "at least 1 MiB"),
        (Flags { labels: vec!["x".into()], ..flags_in(&dir) }, "NAME=VALUE"),
        (Flags { labels: vec!["node=1".into()], ..flags_in(&dir) }, "another name"),
        (Flags { peers: vec!["here".into()], ..flags_in(&dir) }, "`--peer`: invalid value `here`: expected"),
        (Flags { slots: Some(1 << 20), ..flags_in(&dir) }, "expected a whole number from 0 to 4096"),
        (Flags { name: Some(String::new()), ..flags_in(&dir) }, "name"),
    ];
    for (flags, expected) in cases {
        let text = refusal(flags);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_wrong_value_is_named_by_where_it_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let environment = |name: &str| (name == "WEFT_SLOTS").then(|| String::from("lots"));
    let text = Settings::resolve(flags_in(&dir), &environment).unwrap_err().to_string();
    assert_eq!(text, "`WEFT_SLOTS`: invalid value `lots`: expected a whole number from 0 to 4096");
    let environment = |name: &str| (name == "WEFT_STORE").then(|| String::from("lots"));
    let text = Settings::resolve(flags_in(&dir), &environment).unwrap_err().to_string();
    assert!(text.starts_with("`WEFT_STORE`: invalid value `lots`: expected a size"), "{text}");
    std::fs::write(dir.path().join("weft.toml"), "[labels]\nnode = '1'\n").unwrap();
    assert!(refusal(flags_in(&dir)).starts_with("`labels` in `weft.toml`: invalid value `node=1`"));
    std::fs::write(dir.path().join("weft.toml"), "slots = 'lots'\n").unwrap();
    let text = refusal(flags_in(&dir));
    assert!(text.contains("weft.toml, line 1: ") && text.contains("expected a whole number"), "{text}");
}

#[test]
fn the_identity_is_made_once_and_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let first = Settings::resolve(flags_in(&dir), &nothing).unwrap();
    let second = Settings::resolve(flags_in(&dir), &nothing).unwrap();
    assert_eq!(first.identity, second.identity);
    let mode = std::fs::metadata(dir.path().join("identity.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!format!("{first:?}").contains("identity"));
}

#[test]
fn a_directory_is_held_by_one_node() {
    let dir = tempfile::tempdir().unwrap();
    let held = lock(dir.path()).unwrap();
    let text = lock(dir.path()).expect_err("it is held").to_string();
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
    drop(held);
    drop(lock(dir.path()).unwrap());
}

#[test]
fn joined_peers_are_added_or_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let first = vec![String::from("/ip4/10.0.0.1/tcp/7117")];
    let second = vec![String::from("/ip4/10.0.0.2/tcp/7117")];
    add_joined_peers(dir.path(), &first, false).unwrap();
    add_joined_peers(dir.path(), &second, false).unwrap();
    let settings = Settings::resolve(flags_in(&dir), &nothing).unwrap();
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
    assert!(parse_address("192.168.1.999:7117").is_err(), "a mistyped IP is no host name");
    assert!(parse_own_address("anna.lan:7117").is_err(), "a name may stand for another machine");
    assert_eq!(parse_own_address("0.0.0.0:80"), Ok("/ip4/0.0.0.0/tcp/80".into()));
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
    let listen = vec!["[fe80::1%eth0]:7117".into()];
    let text = refusal(Flags { listen, open: true, ..flags_in(&dir) });
    assert!(text.contains("[::]:7117"), "{text}");
}
