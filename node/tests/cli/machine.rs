//! What a node makes of its machine: private files, a port, a standard error that may fail, a directory that is
//! another user's.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{finish, module, poll, run, run_with, weft};

/// A node that is killed when dropped.
struct Node(Child);

impl Node {
    fn start(dir: &Path, args: &[&str], stderr: Stdio) -> Self {
        let args = [&["node", "--no-mdns", "--slots", "1"], args].concat();
        let node = Self(weft(dir, &args).stderr(stderr).spawn().unwrap());
        poll(|| (run(dir, &["status", "--json"]).code == 0).then_some(()));
        node
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A small file system of its own; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts it, unless this machine does not let us.
    fn mount() -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k,mode=0700", "weft-test"])
            .arg(dir.path())
            .output();
        match mount {
            Ok(ran) if ran.status.success() => Ok(Self(dir)),
            Ok(ran) => Err(String::from_utf8_lossy(&ran.stderr).trim().to_owned()),
            Err(error) => Err(format!("mount: {error}")),
        }
    }

    fn data_dir(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.path().join("others")).unwrap();
        let full = loop {
            if let Err(error) = file.write_all(&[7; 512]) {
                break error;
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { [below(&path), vec![path]].concat() } else { vec![path] })
        .collect()
}

#[test]
fn nothing_in_a_data_directory_is_open_to_others_whatever_made_it_and_the_umask() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("data");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
    // What an earlier version left.
    fs::create_dir_all(dir.join("blobs/ab")).unwrap();
    fs::write(dir.join("blobs/ab/left"), "salaries").unwrap();
    fs::write(dir.join("version"), "1\n").unwrap();
    for path in ["blobs", "blobs/ab", "blobs/ab/left", "version"] {
        fs::set_permissions(dir.join(path), Permissions::from_mode(0o777)).unwrap();
    }
    // The shell's umask is the node's.
    let line =
        format!("umask 0; exec {} --data-dir {} node --no-mdns", env!("CARGO_BIN_EXE_weft"), dir.display());
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &line])
        .env_clear()
        .env("HOME", outer.path())
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let mut node = Node(shell.spawn().unwrap());
    poll(|| (run(&dir, &["status", "--json"]).code == 0).then_some(()));
    let long = vec![b'x'; 100_000];
    run_with(weft(&dir, &["run", &module("echo"), "--fn", "echo"]), &long).well();
    for path in below(&dir).into_iter().chain([dir.clone()]) {
        let most = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), most, "{}", path.display());
    }
    node.0.kill().unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut node.0.stderr.take().unwrap(), &mut said).unwrap();
    assert!(
        said.contains("other users could enter") && said.contains("closed 4 files and directories"),
        "{said}"
    );
}

#[test]
fn a_node_whose_stderr_takes_no_line_any_more_goes_on() {
    // Its disk is full, or the reader of the pipe is gone.
    let full = || Stdio::from(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    // Its reader has stopped.
    let (_reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, &[b'.'; 65_536]).unwrap();
    for stderr in [full(), gone(), Stdio::from(writer)] {
        let dir = tempfile::tempdir().unwrap();
        let mut node = Node::start(dir.path(), &["--log", "trace"], stderr);
        run_with(weft(dir.path(), &["run", &module("echo"), "--fn", "upper"]), b"hello").well();
        let args = ["run", &module("spin"), "--fn", "forever", "--timeout", "200ms"];
        assert_eq!(run(dir.path(), &args).code, 124);
        run(dir.path(), &["status"]).well();
        assert!(node.0.try_wait().unwrap().is_none(), "the node ended");
    }
}

#[test]
fn a_ticket_names_the_port_at_which_the_node_listens() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("weft.toml"), "listen = [\"198.51.100.7:9000\"]\n").unwrap();
    let made = run(dir.path(), &["init"]).well();
    assert!(made.err.contains("198.51.100.7:9000") && !made.err.contains("7117"), "{made:?}");
    fs::write(dir.path().join("weft.toml"), "listen = [\"0.0.0.0:0\"]\n").unwrap();
    let shown = run(dir.path(), &["init", "--show"]).well();
    assert!(shown.err.contains("any free port") && shown.err.contains("--show"), "{shown:?}");
    let named = run(dir.path(), &["init", "--show", "--address", "anna.lan:7118"]).well();
    assert!(named.err.contains("anna.lan:7118"), "{named:?}");
    let other = tempfile::tempdir().unwrap();
    run(other.path(), &["join", named.out.trim()]).well();
    assert_eq!(fs::read_to_string(other.path().join("joined.peers")).unwrap(), "/dns/anna.lan/tcp/7118\n");
}

#[test]
fn an_address_that_is_not_this_machines_is_refused_with_those_that_are() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &["init"]).well();
    run(dir.path(), &["node", "--no-mdns", "--listen", "198.51.100.7:7117"])
        .refused(1, &["198.51.100.7", "no such address", "127.0.0.1"]);
    run(dir.path(), &["node", "--no-mdns", "--listen", "anna.lan:7117"])
        .refused(2, &["listen", "IP of this machine"]);
}

#[test]
fn a_directory_of_another_user_is_named_with_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    for verb in ["node", "status"] {
        let mut command = weft(dir.path(), &[verb]);
        command.uid(65_534).gid(65_534).stdout(Stdio::piped()).stderr(Stdio::piped());
        // The binary may lie where no other user may go.
        let Ok(child) = command.spawn() else {
            println!("skipped: another user can't start the binary");
            return;
        };
        finish(child).refused(1, &["belongs to user root (uid 0)", "uid 65534"]);
    }
}

#[test]
fn a_node_that_is_gone_can_be_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let _node = Node::start(dir.path(), &[], Stdio::null());
    run(dir.path(), &["peers", "--forget", "zoe"]).refused(1, &["no node zoe is known", "--all"]);
}

#[test]
fn a_start_on_a_full_disk_speaks_of_the_disk() {
    let (fresh, used) = match (SmallDisk::mount(), SmallDisk::mount()) {
        (Ok(fresh), Ok(used)) => (fresh, used),
        (Err(why), _) | (_, Err(why)) => {
            println!("skipped: no small disk can be mounted here: {why}");
            return;
        }
    };
    // One sentence, about the disk: that the journal has no room on it either is not what ends the node.
    let refused = |disk: &SmallDisk| {
        let words = ["No space left on device", "its disk is full: make room there"];
        let said = run(&disk.data_dir(), &["node", "--no-mdns", "--slots", "1"]).refused(1, &words);
        assert!(said.err.contains(disk.data_dir().to_str().unwrap()), "{said:?}");
        assert!(!said.err.contains("--api") && !said.err.contains("listen"), "{said:?}");
    };
    fresh.fill();
    refused(&fresh);
    // One that has its identity fails at the files by which clients find its API.
    drop(Node::start(&used.data_dir(), &[], Stdio::null()));
    used.fill();
    refused(&used);
}
