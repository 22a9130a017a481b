//! Wrong arguments of the attributes, all at once.

#[polder::suite(evn = "demo.yaml", timeout = "10 minutes", env = demo)]
mod demo {
    #[setup(after(a))]
    async fn prepare() {}

    #[test(timeuot = "30s")]
    async fn a() {}

    #[test(timeout = "30s", timeout = "40s", after("a"))]
    async fn b() {}

    #[test = "c"]
    async fn c() {}

    #[test(after)]
    #[ignore("why")]
    async fn d() {}

    #[test]
    async fn e(#[role] _one: &u8, #[role("a")] #[role("b")] _two: &u8) {}
}

fn main() {}
