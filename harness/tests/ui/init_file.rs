//! The files a suite names are looked for when it is compiled.

#[polder::suite(env = "nowhere.yaml")]
mod missing {
    #[test]
    async fn a() {}
}

#[polder::suite(env = "..")]
mod folder {
    #[test]
    async fn a() {}
}

#[polder::suite(cvp = "nowhere.json")]
mod stateless {
    #[test]
    async fn a() {}
}

#[polder::suite(changes = "nowhere.yaml")]
mod changeless {
    #[test]
    async fn a() {}
}

#[polder::suite(changes = nowhere)]
mod unquoted {
    #[test]
    async fn a() {}
}

fn main() {}
