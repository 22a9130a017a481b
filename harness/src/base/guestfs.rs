//! How the programs of libguestfs are started, which begin small machines of their own.

/// What is added to their environment. `kvm` is whether machines may be started with hardware acceleration.
#[must_use]
pub fn env(kvm: bool) -> Vec<(String, String)> {
    // No daemon of the host's is asked to start machines for them.
    let mut env = vec![("LIBGUESTFS_BACKEND".to_owned(), "direct".to_owned())];
    if !kvm {
        env.push(("LIBGUESTFS_BACKEND_SETTINGS".to_owned(), "force_tcg".to_owned()));
    }
    env
}
