// Writes C#'s catalogue of parts: ./build.sh Catalogue.
#r "../bin/Release/net10.0/Fokker.dll"
#load "Generator.fs"

System.IO.File.WriteAllText(
    System.IO.Path.Combine(__SOURCE_DIRECTORY__, "Parts", "Catalogue.g.cs"),
    Fokker.CSharpCatalogue.text ()
)
