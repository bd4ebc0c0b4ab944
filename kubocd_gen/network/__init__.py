"""HTTP as kcd-gen speaks it: the only room that opens a socket. Imported when something must be fetched."""
