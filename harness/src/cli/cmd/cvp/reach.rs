//! A client for a verb: from what was typed and the environment to a portal, and away from it at the end.

use crate::{
    cli::{
        context::Cx,
        cvp_args::Reach,
        portal::{Access, environment, first_line, refuse},
    },
    cvp::Client,
};

/// A client for what was typed.
pub(super) async fn client(cx: &Cx, reach: &Reach) -> anyhow::Result<Client> {
    let mut problems = Vec::new();
    let access = Access::of(reach, &environment, &first_line, &mut problems);
    refuse(problems)?;
    open(cx, access).await
}

/// A client for what was found good.
pub(super) async fn open(cx: &Cx, access: Option<Access>) -> anyhow::Result<Client> {
    match access {
        Some(access) => access.client(cx).await,
        None => anyhow::bail!("nothing says which portal"),
    }
}

/// Does `work` with a client for what was typed, and logs out.
pub(super) async fn with<T>(
    cx: &Cx,
    reach: &Reach,
    work: impl AsyncFnOnce(&Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let client = client(cx, reach).await?;
    let result = work(&client).await;
    client.log_out().await;
    result
}
