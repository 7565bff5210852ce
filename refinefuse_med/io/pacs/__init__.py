"""Archives: sending by C-STORE (`dimse`) and STOW-RS (`dicomweb`), receiving (`receiver`)."""
