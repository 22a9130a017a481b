//! The door through which a re-executed binary becomes a warden or a keeper: a constructor that runs before `main`, with one
//! thread. The same door for suites, plain test binaries and the command, whatever their `main` does.
#![expect(unsafe_code, reason = "a constructor needs a link section")]

/// Set for the warden alone: numbers of its control socket and of the owner's pidfd.
pub(super) const VARIABLE: &str = "POLDER_INTERNAL_WARDEN";

/// Set for keepers alone: what is asked of them.
pub(super) const KEEPER: &str = "POLDER_INTERNAL_KEEPER";

// SAFETY: the function has the type the loader expects of `.init_array` entries and returns at once for everybody else.
#[used]
#[unsafe(link_section = ".init_array")]
static DOOR: extern "C" fn() = enter;

extern "C" fn enter() {
    if let Ok(asked) = std::env::var(KEEPER) {
        // SAFETY: before `main` there is one thread.
        unsafe { std::env::remove_var(KEEPER) };
        crate::base::sys::exit_now(super::keeper::main(&asked));
    }
    let Some(value) = std::env::var_os(VARIABLE) else { return };
    // SAFETY: before `main` there is one thread.
    unsafe { std::env::remove_var(VARIABLE) };
    let fds = value
        .to_str()
        .and_then(|v| v.split_once(','))
        .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    let code = match fds {
        Some((control, owner)) => super::warden::main(control, owner),
        None => 2,
    };
    crate::base::sys::exit_now(code);
}
