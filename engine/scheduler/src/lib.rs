//! Lock-free core: block ring, stage cursors, parking.
