//! Labs: a boundary, a libvirt connection, and a way to reach guest addresses.
