//! Needs that nobody understands, or nothing can meet.

#[polder::suite(needs(capability = "ipv6"))]
mod demo {
    #[test(needs)]
    async fn a() {}

    #[test(needs())]
    async fn b() {}

    #[test(needs(kvn, kvm = "yes", cvp("x")))]
    async fn c() {}

    #[test(needs(memory = "4GB", memory = 4, tool = "/bin/ls"))]
    async fn d() {}

    #[test(needs("ipv6", tool = xmllint, kvm, kvm))]
    async fn e() {}

    #[test(needs(role = "router", router("bgp"), host(), host(bgp)))]
    async fn f() {}

    #[test(needs(a::b, kvm +))]
    async fn g() {}
}

fn main() {}
