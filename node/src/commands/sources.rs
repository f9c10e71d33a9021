//! The files that a map reads, so that an output never takes the place of one of them, under whichever of its names.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Problem;
use crate::cli::{InputsArgs, TaskArgs};

/// Files that are remembered, each at some 20 bytes of memory, and the directories that they are in.
const SOURCES_MAX: usize = 4 << 20;

/// A file or directory, however it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    dev: u64,
    ino: u64,
}

impl From<&Metadata> for FileId {
    fn from(about: &Metadata) -> Self {
        Self { dev: about.dev(), ino: about.ino() }
    }
}

impl From<&rustix::fs::Stat> for FileId {
    fn from(about: &rustix::fs::Stat) -> Self {
        Self { dev: about.st_dev, ino: about.st_ino }
    }
}

/// What is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// Files, links to them, and directories with all that is in them.
    read: HashSet<FileId>,
    /// The directories that these are in, up to the root.
    above: HashSet<FileId>,
    /// Directories that were looked up already, as they are written.
    known: HashSet<PathBuf>,
}

impl Sources {
    /// What the command line says that all tasks read: the module, the files of `--input` that have no words, and the
    /// file of `--each-line` or `--each-block`.
    pub(crate) fn of(module: &Path, task: &TaskArgs, inputs: &InputsArgs) -> Result<Self, Problem> {
        let mut sources = Self::default();
        sources.add(module)?;
        task.input.iter().try_for_each(|given| sources.add(&given.path))?;
        let stream = inputs.each_line.as_deref().or(inputs.each_block.get(1).map(Path::new));
        match stream {
            Some(path) if path == OsStr::new("-") => sources.add(Path::new("/dev/stdin"))?,
            Some(path) => sources.add(path)?,
            None => {}
        }
        Ok(sources)
    }

    /// Adds a file or directory, and what it leads to if it is a link. One that can't be looked at is left out: that is
    /// told where it is read.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn add(&mut self, path: &Path) -> Result<(), Problem> {
        if self.read.len() >= SOURCES_MAX || self.known.len() >= SOURCES_MAX {
            return Err(Problem::Failed(format!(
                "--out: more than {SOURCES_MAX} files to be kept from --force and --resume; write into a new directory"
            )));
        }
        let Ok(itself) = fs::symlink_metadata(path) else { return Ok(()) };
        self.read.insert(FileId::from(&itself));
        self.add_above(path);
        if itself.is_symlink()
            && let (Ok(target), Ok(path)) = (fs::metadata(path), path.canonicalize())
        {
            self.read.insert(FileId::from(&target));
            self.add_above(&path);
        }
        Ok(())
    }

    fn add_above(&mut self, path: &Path) {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !self.known.contains(dir) {
            self.known.insert(dir.to_owned());
            self.above.extend(from_root(dir));
        }
    }

    /// Whether that is read, or is a directory that something is read from.
    pub(crate) fn has(&self, id: FileId) -> bool {
        self.read.contains(&id) || self.above.contains(&id)
    }

    /// Whether that is read itself; of a directory, all that is in it is.
    pub(crate) fn is_read(&self, id: FileId) -> bool {
        self.read.contains(&id)
    }
}

/// A directory and those that it is in, up to the root, as far as they can be looked at.
pub(crate) fn from_root(dir: &Path) -> Vec<FileId> {
    let whole = dir.canonicalize().unwrap_or_else(|_error| dir.to_owned());
    let ids = whole.ancestors().filter_map(|dir| Some(FileId::from(&fs::metadata(dir).ok()?)));
    ids.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_under_each_of_its_names_and_so_are_its_directories() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::create_dir(at("links")).unwrap();
        fs::write(at("a/b/file"), "x").unwrap();
        fs::write(at("other"), "x").unwrap();
        fs::hard_link(at("a/b/file"), at("hard")).unwrap();
        std::os::unix::fs::symlink(at("a/b/file"), at("links/soft")).unwrap();
        let mut sources = Sources::default();
        sources.add(&at("links/soft")).unwrap();
        sources.add(&at("missing")).unwrap();
        let id = |name: &str| FileId::from(&fs::symlink_metadata(at(name)).unwrap());
        assert!(["links/soft", "a/b/file", "hard"].iter().all(|name| sources.is_read(id(name))));
        assert!(["a", "a/b", "links"].iter().all(|name| sources.has(id(name)) && !sources.is_read(id(name))));
        assert!(!sources.has(id("other")));
    }
}
