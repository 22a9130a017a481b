//! From finished values to libvirt's XML. Pure.
