"""Contract suites, fakes and fault injection for authors of plug-ins: shipped with the library."""
