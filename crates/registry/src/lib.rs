//! Who may speak: tenants, devices, credentials, what each may publish and read.
