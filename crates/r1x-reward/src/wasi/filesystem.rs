//! A file system with the files that the component itself carries, to be read, and nothing else.
//!
//! Without such files there is not a single folder to start from. Times are the date that every guest sees, and
//! whatever would change something is refused as read-only. Must not touch a file of the machine.

use std::ops::Bound;
use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource, Val, flags};

use super::clocks::{DATE, Datetime};
use super::io::{InputStream, READ_BYTES, StreamFault};
use super::{System, WithSystem, constant, handle, handle_type};
use crate::files::{Files, Node};

/// Where the tree is seen.
const ROOT: &str = "/";

/// An open file or folder; its number is that of the node.
pub(super) struct Descriptor;
/// A folder being listed; its number is the place among the listings of the instance.
pub(super) struct Listing;

/// The folders being listed by an instance: each with the name it has come to. Places are used again.
#[derive(Debug, Default)]
pub(super) struct Listings(Vec<Option<(usize, Option<String>)>>);

impl Listings {
    fn open(&mut self, folder: usize) -> usize {
        let free = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        if free == self.0.len() {
            self.0.push(None);
        }
        self.0[free] = Some((folder, None));
        free
    }

    /// The next entry of the folder: its name and its node.
    fn next(&mut self, number: u32, files: &Files) -> Option<(String, usize)> {
        let (folder, last) = self.0.get_mut(number as usize)?.as_mut()?;
        let Some(Node::Folder(entries)) = files.node(*folder) else { return None };
        let after = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let (name, node) = entries.range::<str, _>((after, Bound::Unbounded)).next()?;
        *last = Some(name.clone());
        Some((name.clone(), *node))
    }
}

/// The reasons that this file system gives; the order and the names of all are those of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[rustfmt::skip]
#[allow(dead_code, reason = "the type has the case, but nothing here fails that way")]
enum ErrorCode {
    #[component(name = "access")] Access,
    #[component(name = "would-block")] WouldBlock,
    #[component(name = "already")] Already,
    #[component(name = "bad-descriptor")] BadDescriptor,
    #[component(name = "busy")] Busy,
    #[component(name = "deadlock")] Deadlock,
    #[component(name = "quota")] Quota,
    #[component(name = "exist")] Exist,
    #[component(name = "file-too-large")] FileTooLarge,
    #[component(name = "illegal-byte-sequence")] IllegalByteSequence,
    #[component(name = "in-progress")] InProgress,
    #[component(name = "interrupted")] Interrupted,
    #[component(name = "invalid")] Invalid,
    #[component(name = "io")] Io,
    #[component(name = "is-directory")] IsDirectory,
    #[component(name = "loop")] Loop,
    #[component(name = "too-many-links")] TooManyLinks,
    #[component(name = "message-size")] MessageSize,
    #[component(name = "name-too-long")] NameTooLong,
    #[component(name = "no-device")] NoDevice,
    #[component(name = "no-entry")] NoEntry,
    #[component(name = "no-lock")] NoLock,
    #[component(name = "insufficient-memory")] InsufficientMemory,
    #[component(name = "insufficient-space")] InsufficientSpace,
    #[component(name = "not-directory")] NotDirectory,
    #[component(name = "not-empty")] NotEmpty,
    #[component(name = "not-recoverable")] NotRecoverable,
    #[component(name = "unsupported")] Unsupported,
    #[component(name = "no-tty")] NoTty,
    #[component(name = "no-such-device")] NoSuchDevice,
    #[component(name = "overflow")] Overflow,
    #[component(name = "not-permitted")] NotPermitted,
    #[component(name = "pipe")] Pipe,
    #[component(name = "read-only")] ReadOnly,
    #[component(name = "invalid-seek")] InvalidSeek,
    #[component(name = "text-file-busy")] TextFileBusy,
    #[component(name = "cross-device")] CrossDevice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[rustfmt::skip]
#[allow(dead_code, reason = "the type has the case, but there is nothing of that kind here")]
enum DescriptorType {
    #[component(name = "unknown")] Unknown,
    #[component(name = "block-device")] BlockDevice,
    #[component(name = "character-device")] CharacterDevice,
    #[component(name = "directory")] Directory,
    #[component(name = "fifo")] Fifo,
    #[component(name = "symbolic-link")] SymbolicLink,
    #[component(name = "regular-file")] RegularFile,
    #[component(name = "socket")] Socket,
}

flags! {
    DescriptorFlags {
        #[component(name = "read")]
        const READ;
        #[component(name = "write")]
        const WRITE;
        #[component(name = "file-integrity-sync")]
        const FILE_SYNC;
        #[component(name = "data-integrity-sync")]
        const DATA_SYNC;
        #[component(name = "requested-write-sync")]
        const WRITE_SYNC;
        #[component(name = "mutate-directory")]
        const MUTATE;
    }
}

flags! {
    PathFlags {
        #[component(name = "symlink-follow")]
        const FOLLOW;
    }
}

flags! {
    OpenFlags {
        #[component(name = "create")]
        const CREATE;
        #[component(name = "directory")]
        const DIRECTORY;
        #[component(name = "exclusive")]
        const EXCLUSIVE;
        #[component(name = "truncate")]
        const TRUNCATE;
    }
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct DescriptorStat {
    #[component(name = "type")]
    kind: DescriptorType,
    #[component(name = "link-count")]
    link_count: u64,
    size: u64,
    #[component(name = "data-access-timestamp")]
    accessed: Option<Datetime>,
    #[component(name = "data-modification-timestamp")]
    modified: Option<Datetime>,
    #[component(name = "status-change-timestamp")]
    changed: Option<Datetime>,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct DirectoryEntry {
    #[component(name = "type")]
    kind: DescriptorType,
    name: String,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct MetadataHash {
    lower: u64,
    upper: u64,
}

type Fallible<T> = Result<T, ErrorCode>;

pub(super) fn preopens<S: WithSystem>(
    instance: &mut LinkerInstance<'_, S>,
) -> wasmtime::Result<()> {
    instance.func_wrap("get-directories", |mut store: StoreContextMut<'_, S>, (): ()| {
        let system = store.data_mut().system_mut();
        let mut folders: Vec<(Resource<Descriptor>, String)> = Vec::new();
        if !system.files.is_empty() {
            folders.push((handle(system, 0)?, ROOT.to_owned()));
        }
        Ok((folders,))
    })
}

/// Methods that would change something.
const WRITING: [&str; 12] = [
    "write-via-stream",
    "append-via-stream",
    "set-size",
    "set-times",
    "write",
    "create-directory-at",
    "set-times-at",
    "link-at",
    "remove-directory-at",
    "rename-at",
    "symlink-at",
    "unlink-file-at",
];

pub(super) fn types<S: WithSystem>(instance: &mut LinkerInstance<'_, S>) -> wasmtime::Result<()> {
    handle_type::<Descriptor, _>(instance, "descriptor")?;
    instance.resource(
        "directory-entry-stream",
        wasmtime::component::ResourceType::host::<Listing>(),
        |mut store, listing| {
            let system = store.data_mut().system_mut();
            system.handles = system.handles.saturating_sub(1);
            if let Some(listing) = system.listings.0.get_mut(listing as usize) {
                *listing = None;
            }
            Ok(())
        },
    )?;
    for name in WRITING {
        let refusal = Val::Result(Err(Some(Box::new(Val::Enum("read-only".to_owned())))));
        constant(instance, &format!("[method]descriptor.{name}"), refusal)?;
    }
    for name in ["sync", "sync-data", "advise"] {
        constant(instance, &format!("[method]descriptor.{name}"), Val::Result(Ok(None)))?;
    }
    reading(instance)?;
    looking(instance)?;
    listing(instance)?;
    instance.func_wrap(
        "filesystem-error-code",
        |_: StoreContextMut<'_, S>, (_,): (Resource<StreamFault>,)| Ok((None::<ErrorCode>,)),
    )
}

/// Opening files and reading them.
fn reading<S: WithSystem>(instance: &mut LinkerInstance<'_, S>) -> wasmtime::Result<()> {
    instance.func_wrap(
        "[method]descriptor.open-at",
        |mut store: StoreContextMut<'_, S>,
         (folder, _, path, open, access): (
            Resource<Descriptor>,
            PathFlags,
            String,
            OpenFlags,
            DescriptorFlags,
        )| {
            let system = store.data_mut().system_mut();
            let opened = open_at(system, folder.rep(), &path, open, access);
            let opened = match opened {
                Ok(number) => Ok(handle::<Descriptor>(system, number)?),
                Err(code) => Err(code),
            };
            Ok((opened,))
        },
    )?;
    instance.func_wrap(
        "[method]descriptor.read-via-stream",
        |mut store: StoreContextMut<'_, S>, (file, offset): (Resource<Descriptor>, u64)| {
            let system = store.data_mut().system_mut();
            let stream = match content(system, file.rep()) {
                Ok(bytes) => {
                    let number = system.streams.open(bytes, offset);
                    Ok(handle::<InputStream>(system, number)?)
                }
                Err(code) => Err(code),
            };
            Ok((stream,))
        },
    )?;
    instance.func_wrap(
        "[method]descriptor.read",
        |store: StoreContextMut<'_, S>,
         (file, length, offset): (Resource<Descriptor>, u64, u64)| {
            let read = content(store.data().system(), file.rep()).map(|bytes| {
                let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                // A guest that wants more asks again; the memory is the host's.
                let length = length.min(READ_BYTES as u64);
                let (start, end) = (clamp(offset), clamp(offset.saturating_add(length)));
                (bytes[start..end].to_vec(), end == bytes.len())
            });
            Ok((read,))
        },
    )
}

/// What is known of files without opening them.
fn looking<S: WithSystem>(instance: &mut LinkerInstance<'_, S>) -> wasmtime::Result<()> {
    instance.func_wrap(
        "[method]descriptor.get-type",
        |store: StoreContextMut<'_, S>, (one,): (Resource<Descriptor>,)| {
            Ok((kind(store.data().system(), one.rep()),))
        },
    )?;
    instance.func_wrap(
        "[method]descriptor.get-flags",
        |_: StoreContextMut<'_, S>, (_,): (Resource<Descriptor>,)| {
            Ok((Ok::<_, ErrorCode>(DescriptorFlags::READ),))
        },
    )?;
    instance.func_wrap(
        "[method]descriptor.stat",
        |store: StoreContextMut<'_, S>, (one,): (Resource<Descriptor>,)| {
            Ok((stat(store.data().system(), one.rep()),))
        },
    )?;
    instance.func_wrap(
        "[method]descriptor.stat-at",
        |store: StoreContextMut<'_, S>,
         (folder, _, path): (Resource<Descriptor>, PathFlags, String)| {
            let system = store.data().system();
            Ok((found(system, folder.rep(), &path).and_then(|number| stat(system, number)),))
        },
    )?;
    instance.func_wrap(
        "[method]descriptor.readlink-at",
        |store: StoreContextMut<'_, S>, (folder, path): (Resource<Descriptor>, String)| {
            let there = found(store.data().system(), folder.rep(), &path);
            Ok((there.and(Err::<String, _>(ErrorCode::Invalid)),))
        },
    )?;
    instance.func_wrap(
        "[method]descriptor.is-same-object",
        |_: StoreContextMut<'_, S>, (a, b): (Resource<Descriptor>, Resource<Descriptor>)| {
            Ok((a.rep() == b.rep(),))
        },
    )?;
    // Files never change, so a node's number says all there is to say.
    let hash = |number: u32| MetadataHash { lower: u64::from(number), upper: 0 };
    instance.func_wrap(
        "[method]descriptor.metadata-hash",
        move |_: StoreContextMut<'_, S>, (one,): (Resource<Descriptor>,)| {
            Ok((Ok::<_, ErrorCode>(hash(one.rep())),))
        },
    )?;
    instance.func_wrap(
        "[method]descriptor.metadata-hash-at",
        move |store: StoreContextMut<'_, S>,
              (folder, _, path): (Resource<Descriptor>, PathFlags, String)| {
            Ok((found(store.data().system(), folder.rep(), &path).map(hash),))
        },
    )
}

fn listing<S: WithSystem>(instance: &mut LinkerInstance<'_, S>) -> wasmtime::Result<()> {
    instance.func_wrap(
        "[method]descriptor.read-directory",
        |mut store: StoreContextMut<'_, S>, (folder,): (Resource<Descriptor>,)| {
            let system = store.data_mut().system_mut();
            let listed = match system.files.node(folder.rep() as usize) {
                Some(Node::Folder(_)) => {
                    let number = system.listings.open(folder.rep() as usize);
                    Ok(handle::<Listing>(system, u32::try_from(number).unwrap_or(u32::MAX))?)
                }
                Some(Node::File(_)) => Err(ErrorCode::NotDirectory),
                None => Err(ErrorCode::BadDescriptor),
            };
            Ok((listed,))
        },
    )?;
    instance.func_wrap(
        "[method]directory-entry-stream.read-directory-entry",
        |mut store: StoreContextMut<'_, S>, (listing,): (Resource<Listing>,)| {
            let system = store.data_mut().system_mut();
            let next = system.listings.next(listing.rep(), &system.files);
            let entry = next.map(|(name, number)| -> Fallible<DirectoryEntry> {
                let kind = u32::try_from(number).map_err(|_| ErrorCode::BadDescriptor);
                Ok(DirectoryEntry {
                    kind: kind.and_then(|number| self::kind(system, number))?,
                    name,
                })
            });
            Ok((entry.transpose(),))
        },
    )
}

fn open_at(
    system: &System,
    folder: u32,
    path: &str,
    open: OpenFlags,
    access: DescriptorFlags,
) -> Fallible<u32> {
    let number = match found(system, folder, path) {
        // A file that is not there could only be made.
        Err(ErrorCode::NoEntry) if open.contains(OpenFlags::CREATE) => {
            return Err(ErrorCode::ReadOnly);
        }
        other => other?,
    };
    if open.contains(OpenFlags::CREATE) && open.contains(OpenFlags::EXCLUSIVE) {
        return Err(ErrorCode::Exist);
    }
    let folder = kind(system, number)? == DescriptorType::Directory;
    if open.contains(OpenFlags::DIRECTORY) && !folder {
        return Err(ErrorCode::NotDirectory);
    }
    // Runtimes ask to be able to change a folder's entries whenever they open one; that alone changes nothing.
    if open.contains(OpenFlags::TRUNCATE) || (access.contains(DescriptorFlags::WRITE) && !folder) {
        return Err(ErrorCode::ReadOnly);
    }
    Ok(number)
}

fn found(system: &System, folder: u32, path: &str) -> Fallible<u32> {
    let number = system.files.find(folder as usize, path).ok_or(ErrorCode::NoEntry)?;
    u32::try_from(number).map_err(|_| ErrorCode::BadDescriptor)
}

fn kind(system: &System, number: u32) -> Fallible<DescriptorType> {
    match system.files.node(number as usize) {
        Some(Node::File(_)) => Ok(DescriptorType::RegularFile),
        Some(Node::Folder(_)) => Ok(DescriptorType::Directory),
        None => Err(ErrorCode::BadDescriptor),
    }
}

fn content(system: &System, number: u32) -> Fallible<Arc<[u8]>> {
    match system.files.node(number as usize) {
        Some(Node::File(file)) => file.bytes().ok_or(ErrorCode::Io),
        Some(Node::Folder(_)) => Err(ErrorCode::IsDirectory),
        None => Err(ErrorCode::BadDescriptor),
    }
}

fn stat(system: &System, number: u32) -> Fallible<DescriptorStat> {
    let size = match system.files.node(number as usize) {
        Some(Node::File(file)) => file.length as u64,
        _ => 0,
    };
    Ok(DescriptorStat {
        kind: kind(system, number)?,
        link_count: 1,
        size,
        accessed: Some(DATE),
        modified: Some(DATE),
        changed: Some(DATE),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system() -> System {
        let mut files = Files::default();
        files.add("1/words/list.txt", 5, b"hello");
        files.add("2/empty", 0, b"");
        System::with_files(Arc::new(files))
    }

    const READ: DescriptorFlags = DescriptorFlags::READ;

    #[test]
    fn files_are_opened_to_be_read_and_for_nothing_else() {
        let system = system();
        let open = |path, how| open_at(&system, 0, path, how, READ);
        let nothing = OpenFlags::default();
        let list = open("1/words/list.txt", nothing).unwrap();
        assert_eq!(content(&system, list).unwrap().to_vec(), b"hello");
        assert_eq!(stat(&system, list).unwrap().size, 5);
        assert_eq!(kind(&system, open("1/words", nothing).unwrap()), Ok(DescriptorType::Directory));
        let relative =
            open_at(&system, open("1", nothing).unwrap(), "words/list.txt", nothing, READ);
        assert_eq!(relative, Ok(list));
        for (path, how, expected) in [
            ("1/words/none", nothing, ErrorCode::NoEntry),
            ("../1", nothing, ErrorCode::NoEntry),
            ("1/words/none", OpenFlags::CREATE, ErrorCode::ReadOnly),
            ("2/empty", OpenFlags::TRUNCATE, ErrorCode::ReadOnly),
            ("2/empty", OpenFlags::CREATE | OpenFlags::EXCLUSIVE, ErrorCode::Exist),
            ("2/empty", OpenFlags::DIRECTORY, ErrorCode::NotDirectory),
        ] {
            assert_eq!(open(path, how), Err(expected), "{path}");
        }
        let writing = READ | DescriptorFlags::WRITE;
        assert_eq!(open_at(&system, 0, "2/empty", nothing, writing), Err(ErrorCode::ReadOnly));
        assert!(open_at(&system, 0, "2", nothing, READ | DescriptorFlags::MUTATE).is_ok());
    }

    #[test]
    fn a_folder_is_listed_entry_by_entry_and_its_place_used_again() {
        let mut files = Files::default();
        (0..3).for_each(|n| files.add(&format!("a/{n}"), 0, b""));
        let folder = files.find(0, "a").unwrap();
        let mut listings = Listings::default();
        for _ in 0..1000 {
            let number = u32::try_from(listings.open(folder)).unwrap();
            let names: Vec<String> = std::iter::from_fn(|| listings.next(number, &files))
                .map(|(name, _)| name)
                .collect();
            assert_eq!((number, names), (0, ["0", "1", "2"].map(str::to_owned).to_vec()));
            listings.0[0] = None;
        }
        assert_eq!(listings.0.len(), 1);
    }

    #[test]
    fn a_folder_has_no_content_and_a_number_too_high_is_nothing() {
        let system = system();
        assert_eq!(content(&system, 0), Err(ErrorCode::IsDirectory));
        assert_eq!(content(&system, 1000), Err(ErrorCode::BadDescriptor));
        assert_eq!(kind(&system, 1000), Err(ErrorCode::BadDescriptor));
    }
}
