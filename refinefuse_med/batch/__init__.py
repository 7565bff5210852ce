"""Many studies: which scans belong together (`plan`), and fusing each pair (`run`)."""
