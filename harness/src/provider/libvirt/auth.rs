//! Answers a daemon that asks who connects. The bindings' callback is a plain function without data of its own; libvirt
//! calls it on the thread that connects, so that thread holds the answers meanwhile.

use std::cell::RefCell;

use virt::{
    connect::{Connect, ConnectAuth, ConnectCredential, ConnectCredentialType},
    error::Error,
};

use crate::base::credentials::Credentials;

thread_local! {
    static OURS: RefCell<Option<Credentials>> = const { RefCell::new(None) };
}

/// Connects to `uri`; blocks.
pub(super) fn connect(uri: &str, credentials: Option<Credentials>) -> Result<Connect, Error> {
    if credentials.is_none() {
        return Connect::open(Some(uri));
    }
    OURS.set(credentials);
    let known = vec![
        ConnectCredentialType::UserName,
        ConnectCredentialType::AuthName,
        ConnectCredentialType::EchoPrompt,
        ConnectCredentialType::Passphrase,
        ConnectCredentialType::NoEchoPrompt,
    ];
    let result = Connect::open_auth(Some(uri), &mut ConnectAuth::new(known, answer), 0);
    OURS.set(None);
    result
}

fn answer(asked: &mut Vec<ConnectCredential>) {
    OURS.with_borrow(|ours| {
        for question in asked {
            let known = ours.as_ref().and_then(|ours| match question.typed {
                ConnectCredentialType::Passphrase | ConnectCredentialType::NoEchoPrompt => {
                    ours.password.clone()
                }
                _ => ours.username.clone(),
            });
            question.result = known;
        }
    });
}
