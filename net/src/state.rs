//! [`StateDir`]: what must survive a restart, and the files that have it.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use fs4::{FileExt, TryLockError};
use lockcore::manager::Epoch;
use parking_lot::Mutex;

use crate::{Error, refusal::whole_millis};

/// What a server that starts has to know of those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The last run that may have given a number.
    pub(crate) epoch: Epoch,
    /// What somebody may still count on.
    pub(crate) longest_lease: Duration,
}

/// A directory that is one server's for as long as this lives.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    /// What the file says. Held while it is written, so that a later state is written later.
    written: Mutex<State>,
    /// Locked by the operating system, which unlocks it however the process ends.
    _lock: File,
}

impl StateDir {
    /// Takes a directory, made if it is not there, and begins another run; returns what the runs before
    /// left, if there were any.
    ///
    /// Blocks the thread.
    pub(crate) fn open(path: &Path) -> Result<(Self, Option<State>), Error> {
        let failed = |at: &Path| {
            let path = at.into();
            move |source: io::Error| Error::State { path, source: Arc::new(source) }
        };
        make(path).map_err(failed(path))?;
        let lock = path.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&lock);
        let file = file.map_err(failed(&lock))?;
        match FileExt::try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::StateInUse { path: path.into() }),
            Err(TryLockError::Error(error)) => return Err(failed(&lock)(error)),
        }
        let before = read(&path.join(FILE))?;
        let state = begin(before).ok_or_else(|| Error::StateUsedUp { path: path.into() })?;
        let dir = Self { path: path.into(), written: Mutex::new(state), _lock: file };
        dir.write(state).map_err(failed(path))?;
        Ok((dir, before))
    }

    /// Writes the longest lease, unless the file has it.
    ///
    /// It is looked up once nobody else writes, so that it is not older than what the file has. Blocks
    /// the thread.
    pub(crate) fn keep(&self, longest_lease: impl FnOnce() -> Duration) -> io::Result<()> {
        let mut written = self.written.lock();
        let state = State { longest_lease: longest_lease(), ..*written };
        if state != *written {
            self.write(state)?;
            *written = state;
        }
        Ok(())
    }

    /// Returns the run that was begun.
    pub(crate) fn epoch(&self) -> Epoch {
        self.written.lock().epoch
    }

    /// Replaces the file in one step: a reader finds this state or the one before, and finds this one
    /// after a power failure, too, once this has returned.
    fn write(&self, state: State) -> io::Result<()> {
        // Of one name, so that servers that are killed half-way leave one file and not many.
        let next = self.path.join(NEXT);
        let mut file = File::create(&next)?;
        file.write_all(text(state).as_bytes())?;
        file.sync_all()?;
        fs::rename(next, self.path.join(FILE))?;
        sync_dir(&self.path)
    }
}

/// Makes a directory, and sees to it that a power failure does not undo that.
fn make(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
    fs::create_dir_all(path)?;
    for made in missing {
        match made.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent)?,
            Some(_) | None => sync_dir(Path::new("."))?,
        }
    }
    Ok(())
}

#[cfg(unix)]
fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(not(unix))]
fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

const FILE: &str = "state";

/// What is to replace it, until it is whole.
const NEXT: &str = "state.next";

/// The state of the run after those; `None` if numbers are used up.
fn begin(before: Option<State>) -> Option<State> {
    match before {
        None => Some(State { epoch: Epoch::FIRST, longest_lease: Duration::ZERO }),
        Some(before) => Some(State { epoch: before.epoch.next()?, ..before }),
    }
}

fn read(path: &Path) -> Result<Option<State>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text).map(Some).ok_or_else(|| Error::StateDamaged { path: path.into() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(Error::StateDamaged { path: path.into() })
        }
        Err(source) => Err(Error::State { path: path.into(), source: Arc::new(source) }),
    }
}

fn text(state: State) -> String {
    let State { epoch, longest_lease } = state;
    let (epoch, lease) = (epoch.get(), whole_millis(longest_lease));
    let body = format!("syncer state 1\nepoch {epoch}\nlongest lease {lease} ms\n");
    let sum = crc32fast::hash(body.as_bytes());
    format!("{body}checksum {sum:08x}\n")
}

/// The state of which this is the text, to the letter.
fn parse(found: &str) -> Option<State> {
    let mut lines = found.lines().skip(1);
    let epoch = lines.next()?.strip_prefix("epoch ")?.parse().ok()?;
    let lease = lines.next()?.strip_prefix("longest lease ")?.strip_suffix(" ms")?.parse().ok()?;
    let state = State { epoch: Epoch::new(epoch)?, longest_lease: Duration::from_millis(lease) };
    (text(state) == found).then_some(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    fn open(path: &Path) -> (StateDir, Option<State>) {
        StateDir::open(path).unwrap()
    }

    #[test]
    fn each_start_is_a_later_run_and_knows_the_longest_lease() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/for/it");
        let (first, before) = open(&path);
        assert_eq!((first.epoch(), before), (Epoch::FIRST, None));
        first.keep(|| LEASE).unwrap();
        drop(first);
        for run in 1..4 {
            let (next, before) = open(&path);
            let epoch = Epoch::new(run - 1).unwrap();
            assert_eq!(before, Some(State { epoch, longest_lease: LEASE }));
            assert_eq!(next.epoch().get(), run);
        }
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2, "nothing but the lock and the state");
    }

    #[test]
    fn what_the_file_has_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _) = open(dir.path());
        state.keep(|| LEASE).unwrap();
        fs::remove_file(dir.path().join(FILE)).unwrap();
        state.keep(|| LEASE).unwrap();
        assert!(!dir.path().join(FILE).exists());
        state.keep(|| LEASE * 2).unwrap();
        assert!(dir.path().join(FILE).exists());
    }

    #[test]
    fn a_server_killed_while_it_writes_leaves_nothing_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        drop(open(path));
        let state = fs::read(path.join(FILE)).unwrap();
        fs::write(path.join(NEXT), &state[..state.len() / 2]).unwrap();
        let (next, before) = open(path);
        assert_eq!(before.map(|before| before.epoch), Some(Epoch::FIRST));
        assert_eq!(next.epoch(), Epoch::FIRST.next().unwrap());
        assert_eq!(fs::read_dir(path).unwrap().count(), 2, "nothing but the lock and the state");
    }

    #[test]
    fn one_directory_is_one_servers() {
        let dir = tempfile::tempdir().unwrap();
        let (first, _) = open(dir.path());
        let error = StateDir::open(dir.path()).unwrap_err();
        assert!(matches!(error, Error::StateInUse { .. }), "{error:?}");
        drop(first);
        assert!(open(dir.path()).1.is_some());
    }

    #[test]
    fn every_damage_is_seen() {
        let state = State { epoch: Epoch::new(12).unwrap(), longest_lease: LEASE };
        let whole = text(state);
        assert_eq!(parse(&whole), Some(state));
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), None, "cut at {end}");
            let mut bytes = whole.clone().into_bytes();
            bytes[end] ^= 1;
            assert_eq!(std::str::from_utf8(&bytes).ok().and_then(parse), None, "flipped at {end}");
        }
        assert_eq!(parse(&(whole + "\n")), None);
    }

    #[test]
    fn a_damaged_file_is_named_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        for damage in [&b""[..], b"epoch 7", b"\xff\xfe"] {
            fs::write(&path, damage).unwrap();
            let error = StateDir::open(dir.path()).unwrap_err();
            assert!(matches!(&error, Error::StateDamaged { path: named } if **named == path));
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert_eq!(fs::read(&path).unwrap(), damage);
        }
    }

    #[test]
    fn runs_are_used_up_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let last = State { epoch: Epoch::LAST, longest_lease: LEASE };
        fs::write(dir.path().join(FILE), text(last)).unwrap();
        let error = StateDir::open(dir.path()).unwrap_err();
        assert!(matches!(error, Error::StateUsedUp { .. }), "{error:?}");
    }
}
