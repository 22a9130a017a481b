//! Makes machines and networks; knows no labs, init files or guests' insides.
