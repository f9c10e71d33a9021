//! The directory that `weft map --out` writes into. An output is made in a directory of its own inside, which no other
//! process has and whose name is not an output's, and appears under its name whole or not at all: so that whatever is there under
//! an output's name is complete, however the process ended. (A machine that loses power may lose what it had not written
//! to its disk yet.) No link is followed, and nothing is written outside.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, Stat, mkdirat, open, openat, renameat, renameat_with,
    statat, unlinkat,
};
use rustix::io::Errno;
use weft_client::{Existing, Mesh, Output, TaskResult};
use weft_node::terminal::visible;

use super::Problem;
use super::outname::Name;
use super::outtemp::{FILES, Found, OUTPUT, Temp};
use super::sink::MADE_ROOM;
use super::sources::{self, FileId, Sources};

/// What to do about outputs of an earlier run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// The directory must be empty.
    Refuse,
    /// What is there under the names of this run goes before.
    Replace,
    /// What is there is not computed again.
    Keep,
}

/// Why an output was not written.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// This one can't be; others may.
    This(String),
    /// None can be.
    All(Problem),
}

impl From<Problem> for Unwritten {
    fn from(problem: Problem) -> Self {
        Self::All(problem)
    }
}

/// An open directory for outputs.
#[derive(Debug)]
pub(crate) struct OutDir {
    path: PathBuf,
    dir: OwnedFd,
    /// Where outputs are made.
    temp: Temp,
    earlier: Earlier,
    /// The directory itself and those that it is in.
    from_root: Vec<FileId>,
}

/// What a run holds of its directory. When it goes, the temporary directory goes, though the reader of the inputs may
/// hold the rest until its input ends.
#[derive(Debug)]
pub(crate) struct Held(Arc<OutDir>);

impl Held {
    pub(crate) fn new(dir: OutDir) -> Self {
        Self(Arc::new(dir))
    }

    pub(crate) fn dir(&self) -> &Arc<OutDir> {
        let Self(dir) = self;
        dir
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.dir().temp.close();
    }
}

impl OutDir {
    /// Opens a directory, which is made when it is missing. What a run that was killed left unfinished goes.
    ///
    /// # Errors
    /// When it can't be, or is not empty and should be.
    pub(crate) fn open(path: PathBuf, earlier: Earlier) -> Result<Self, Problem> {
        let path = &path;
        let failed = |action| move |source| Problem::File { action, path: path.clone(), source };
        fs::create_dir_all(path).map_err(failed("make"))?;
        let found = Found::look(path).map_err(failed("look into"))?;
        if found.has_others && earlier == Earlier::Refuse {
            let shown = path.display();
            return Err(Problem::Usage(format!(
                "--out: {shown} is not empty; name another directory, or pass --resume to write only what is not \
                 there yet, or --force to write over it"
            )));
        }
        found.sweep();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = open(path, flags, Mode::empty()).map_err(io::Error::from).map_err(failed("open"))?;
        let temp = Temp::make(path).map_err(failed("write into"))?;
        Ok(Self { path: path.clone(), dir, temp, earlier, from_root: sources::from_root(path) })
    }

    /// Whether what was there before this run is looked at, and may go.
    pub(crate) fn has_earlier(&self) -> bool {
        self.earlier != Earlier::Refuse
    }

    /// Whether what was there before goes, also where nothing takes its place.
    pub(crate) fn replaces_earlier(&self) -> bool {
        self.earlier == Earlier::Replace
    }

    /// Whether the output would take the place of something that is read, or something that is read would be removed for it.
    pub(crate) fn replaces(&self, name: &Name, sources: &Sources) -> bool {
        let there = |name: &Name| self.about(name).ok().flatten().map(|about| FileId::from(&about));
        let (itself, files) = (there(name), there(&name.files()));
        let goes = match self.earlier {
            Earlier::Refuse => return false,
            Earlier::Replace => [itself, files],
            Earlier::Keep if itself.is_none() => [None, files],
            Earlier::Keep => [None, None],
        };
        let is_inside = || {
            let above = name.above().filter_map(|above| there(&above));
            self.from_root.iter().copied().chain(above).any(|dir| sources.is_read(dir))
        };
        itself.into_iter().chain(goes.into_iter().flatten()).any(|id| sources.has(id))
            || (goes.iter().any(Option::is_some) && is_inside())
    }

    /// Whether an earlier run made that output, and this one goes on with it.
    ///
    /// # Errors
    /// With a text, when something else is there.
    pub(crate) fn is_done(&self, name: &Name) -> Result<bool, String> {
        if self.earlier != Earlier::Keep {
            return Ok(false);
        }
        match self.kind(name) {
            Ok(Some(FileType::RegularFile)) => Ok(true),
            Ok(None) => Ok(false),
            Ok(Some(_)) => Err(format!("{} exists and is not a file", self.shown(name))),
            Err(error) => Err(format!("{}: {error}", self.shown(name))),
        }
    }

    /// Takes away what an earlier run made under the names of this output.
    ///
    /// # Errors
    /// When it can't be read, or is not an output.
    pub(crate) fn clear(&self, name: &Name) -> Result<(), Unwritten> {
        if self.earlier == Earlier::Refuse {
            return Ok(());
        }
        let failed = |error: io::Error| self.unwritten(name, &error);
        if self.kind(name).map_err(failed)? == Some(FileType::Directory) {
            return Err(Unwritten::This(format!("{} is a directory", self.shown(name))));
        }
        self.remove(name).map_err(failed)?;
        self.remove(&name.files()).map_err(failed)
    }

    fn remove(&self, name: &Name) -> io::Result<()> {
        match self.kind(name)? {
            None => Ok(()),
            Some(FileType::Directory) => {
                let (parent, last) = self.parent(name, false)?;
                self.temp.remove(&parent, last)
            }
            Some(_) => {
                let (parent, last) = self.parent(name, false)?;
                Ok(unlinkat(&parent, last, AtFlags::empty())?)
            }
        }
    }

    /// Writes what a task that is done printed, and next to it what it left in `/out`; the output itself appears last.
    ///
    /// # Errors
    /// When it can't be written; nothing is there under the output's name then.
    pub(crate) async fn write(&self, mesh: &Mesh, result: &TaskResult, name: &Name) -> Result<(), Unwritten> {
        if result.archive.bytes_len() > 0 {
            self.write_files(mesh, result, name).await?;
        }
        let made = self.make(mesh, &result.output, name).await;
        let moved = match made {
            Ok(()) => self.publish(OUTPUT, name).map_err(|error| self.unwritten(name, &error)),
            Err(problem) => Err(problem),
        };
        if moved.is_err() {
            // Of a half-written one nothing stays.
            let _gone = unlinkat(self.temp.fd(), OUTPUT, AtFlags::empty());
        }
        moved
    }

    async fn write_files(&self, mesh: &Mesh, result: &TaskResult, name: &Name) -> Result<(), Unwritten> {
        let made = self.temp.path().join(FILES);
        let unpacked = result.unpack(mesh, &made, Existing::Refuse).await;
        let moved = match unpacked {
            Ok(_count) => {
                let files = name.files();
                self.publish(FILES, &files).map_err(|error| self.unwritten(&files, &error))
            }
            Err(error) => Err(self.of_client(name, error)),
        };
        if moved.is_err() {
            drop(fs::remove_dir_all(&made));
        }
        moved
    }

    async fn make(&self, mesh: &Mesh, output: &Output, name: &Name) -> Result<(), Unwritten> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let failed = |error: io::Error| self.unwritten(name, &error);
        let mode = Mode::from_raw_mode(0o666);
        let file = openat(self.temp.fd(), OUTPUT, flags, mode).map_err(|error| failed(error.into()))?;
        let mut file = File::from(file);
        match output {
            Output::Inline(bytes) => file.write_all(bytes).map_err(failed),
            Output::Blob { id, .. } => {
                let copied = mesh.get_blob_to(id, &mut tokio::fs::File::from_std(file)).await;
                copied.map(|_bytes| ()).map_err(|error| {
                    if let weft_client::Error::Unwritten { source } = error {
                        failed(source)
                    } else {
                        self.of_client(name, error)
                    }
                })
            }
        }
    }

    /// Gives what was made its name, unless something is there.
    fn publish(&self, made: &str, name: &Name) -> io::Result<()> {
        let (parent, last) = self.parent(name, true)?;
        match renameat_with(self.temp.fd(), made, &parent, last, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                // A file system that can't look and rename in one.
                if self.kind(name)?.is_some() {
                    return Err(Errno::EXIST.into());
                }
                Ok(renameat(self.temp.fd(), made, &parent, last)?)
            }
            moved => Ok(moved?),
        }
    }

    /// What kind of thing is there, as [`OutDir::about`].
    fn kind(&self, name: &Name) -> io::Result<Option<FileType>> {
        Ok(self.about(name)?.map(|about| FileType::from_raw_mode(about.st_mode)))
    }

    /// What is there; the last link is not followed, and none before it is passed.
    fn about(&self, name: &Name) -> io::Result<Option<Stat>> {
        let (parent, last) = match self.parent(name, false) {
            Ok(parent) => parent,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match statat(&parent, last, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) => Ok(Some(about)),
            // What has a longer name than there can be is not there, as the files next to an output of 252 bytes and more.
            Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The directory of that name, open, and the name in it.
    fn parent<'a>(&self, name: &'a Name, make: bool) -> io::Result<(OwnedFd, &'a OsStr)> {
        let (above, last) = name.split();
        let mut dir = self.dir.try_clone()?;
        for part in above {
            if make
                && let Err(error) = mkdirat(&dir, part, Mode::from_raw_mode(0o777))
                && error != Errno::EXIST
            {
                return Err(error.into());
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            dir = openat(&dir, part, flags, Mode::empty())?;
        }
        Ok((dir, OsStr::from_bytes(last)))
    }

    /// The path of an output, for people.
    pub(crate) fn shown(&self, name: &Name) -> String {
        self.path.join(name.path()).display().to_string()
    }

    fn unwritten(&self, name: &Name, error: &io::Error) -> Unwritten {
        let path = self.path.join(name.path());
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        match errno {
            Some(Errno::EXIST | Errno::NOTEMPTY) => Unwritten::This(format!(
                "{} is there already: another input has the same name",
                path.display()
            )),
            Some(Errno::NOTDIR | Errno::LOOP) => Unwritten::This(format!(
                "{} can't be written: a directory of its path is a file or a link",
                path.display()
            )),
            Some(Errno::ISDIR | Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ | Errno::XDEV) => {
                Unwritten::This(format!("{} can't be written: {error}", path.display()))
            }
            _ => {
                let source = errno.map_or_else(|| io::Error::from(error.kind()), io::Error::from);
                Unwritten::All(Problem::File { action: "write", path, source })
            }
        }
    }

    fn of_client(&self, name: &Name, error: weft_client::Error) -> Unwritten {
        if let weft_client::Error::NotFound { what: "blob", help, .. } = &error {
            return Unwritten::This(format!(
                "{}: its bytes are no longer in the node's store, {}",
                self.shown(name),
                visible(help.as_deref().unwrap_or(MADE_ROOM))
            ));
        }
        if let weft_client::Error::BadFile { .. } = &error {
            return Unwritten::This(format!("{}: {error}", self.shown(&name.files())));
        }
        if let weft_client::Error::File { path: _, source } = &error {
            return self.unwritten(&name.files(), source);
        }
        Unwritten::All(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text.as_bytes()).unwrap()
    }

    /// Publishes these bytes under a name, as a result would be.
    #[expect(clippy::unwrap_in_result, reason = "a test may panic")]
    fn put(out: &OutDir, text: &str, bytes: &[u8]) -> Result<(), String> {
        fs::write(out.temp.path().join("output"), bytes).unwrap();
        out.publish("output", &name(text)).map_err(|error| match out.unwritten(&name(text), &error) {
            Unwritten::This(text) => text,
            Unwritten::All(problem) => panic!("{problem}"),
        })
    }

    #[test]
    fn a_link_on_the_way_is_not_followed() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(other.path(), dir.path().join("link")).unwrap();
        let out = OutDir::open(dir.path().to_owned(), Earlier::Replace).unwrap();
        let text = put(&out, "link/a", b"x").unwrap_err();
        assert!(text.contains("is a file or a link"), "{text}");
        std::os::unix::fs::symlink(other.path().join("b"), dir.path().join("b")).unwrap();
        out.clear(&name("b")).unwrap();
        put(&out, "b", b"x").unwrap();
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
        assert_eq!(fs::read(dir.path().join("b")).unwrap(), b"x");
    }

    #[test]
    fn the_second_of_two_outputs_of_one_name_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let out = OutDir::open(dir.path().join("out"), Earlier::Refuse).unwrap();
        put(&out, "d/a", b"first").unwrap();
        assert!(put(&out, "d/a", b"second").unwrap_err().contains("same name"));
        assert!(put(&out, "d", b"third").unwrap_err().contains("same name"));
        assert!(put(&out, "d/a/b", b"fourth").unwrap_err().contains("is a file"));
        assert_eq!(fs::read(dir.path().join("out/d/a")).unwrap(), b"first");
    }

    #[test]
    fn what_an_earlier_run_left_is_kept_or_goes_as_it_was_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let out = OutDir::open(path.clone(), Earlier::Refuse).unwrap();
        put(&out, "a", b"old").unwrap();
        fs::create_dir_all(path.join("a.out/deep")).unwrap();
        drop(out);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2, "the temporary directory is gone");
        let text = OutDir::open(path.clone(), Earlier::Refuse).unwrap_err().to_string();
        assert!(
            text.contains("is not empty") && text.contains("--resume") && text.contains("--force"),
            "{text}"
        );
        let out = OutDir::open(path.clone(), Earlier::Keep).unwrap();
        assert!(out.is_done(&name("a")).unwrap() && !out.is_done(&name("b")).unwrap());
        assert!(out.is_done(&name("a.out")).is_err());
        let out = OutDir::open(path.clone(), Earlier::Replace).unwrap();
        assert!(!out.is_done(&name("a")).unwrap());
        out.clear(&name("a")).unwrap();
        assert!(!path.join("a").exists() && !path.join("a.out").exists());
    }

    #[test]
    fn what_a_killed_run_left_unfinished_goes_and_a_running_one_keeps_its_own() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(".weft-map-ofAKilledRun1234")).unwrap();
        fs::write(dir.path().join(".weft-map-ofAKilledRun1234/output"), "half").unwrap();
        let first = OutDir::open(dir.path().to_owned(), Earlier::Refuse).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(OutDir::open(dir.path().to_owned(), Earlier::Refuse).is_err());
        let second = OutDir::open(dir.path().to_owned(), Earlier::Keep).unwrap();
        put(&first, "a", b"1").unwrap();
        put(&second, "b", b"2").unwrap();
    }
}
